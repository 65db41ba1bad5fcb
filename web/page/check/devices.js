import { problemOf } from '../../sdk/device-prompt.js';
import { LevelMeter } from '../../sdk/index.js';

/**
 * The result of opening a device. `silent`, `stuck`: it is open, but provides only silence, or no picture.
 *
 * @typedef {import('../../sdk/device-prompt.js').DeviceProblem} DeviceProblem
 * @typedef {{outcome: 'works' | 'fails' | 'absent', why: DeviceProblem | 'none' | 'silent' | 'stuck' | 'unknown', picture?: HTMLCanvasElement}} DeviceOutcome
 */

/** The errors of `getUserMedia` that say that there is no such device. */
const ABSENT = new Set(['NotFoundError', 'OverconstrainedError']);
const PICTURE_MS = 8000;
const LISTEN_MS = 2500;
const LOOK_MS = 100;

/** Opens the camera until one picture arrives. @returns {Promise<DeviceOutcome>} */
export function camera() {
  return opened({ video: true }, async (stream) => {
    const video = document.createElement('video');
    video.muted = video.playsInline = true;
    video.srcObject = stream;
    const begun = performance.now();
    await video.play().catch(() => {});
    while (video.videoWidth === 0 && performance.now() - begun < PICTURE_MS) await pause(LOOK_MS);
    if (video.videoWidth === 0) return { outcome: 'fails', why: 'stuck' };
    const picture = document.createElement('canvas');
    [picture.width, picture.height] = [320, Math.round((320 * video.videoHeight) / video.videoWidth)];
    picture.getContext('2d')?.drawImage(video, 0, 0, picture.width, picture.height);
    video.srcObject = null;
    return { outcome: 'works', why: 'none', picture };
  });
}

/** Opens the microphone until something is heard. @returns {Promise<DeviceOutcome>} */
export function microphone() {
  return opened({ audio: true }, async (stream) => {
    const meter = new LevelMeter();
    meter.listen(stream.getAudioTracks()[0] ?? null);
    const begun = performance.now();
    let level = 0;
    while (level === 0 && performance.now() - begun < LISTEN_MS) {
      await pause(LOOK_MS);
      level = meter.level;
    }
    meter.close();
    return { outcome: 'works', why: level > 0 ? 'none' : 'silent' };
  });
}

/**
 * @param {MediaStreamConstraints} wanted
 * @param {(stream: MediaStream) => Promise<DeviceOutcome>} look
 * @returns {Promise<DeviceOutcome>}
 */
async function opened(wanted, look) {
  /** @type {MediaStream | null} */
  let stream = null;
  try {
    stream = await navigator.mediaDevices.getUserMedia(wanted);
    return await look(stream);
  } catch (error) {
    const problem = problemOf(error);
    if (problem !== 'missing') return { outcome: 'fails', why: problem };
    const isMissing = error instanceof DOMException && ABSENT.has(error.name);
    return isMissing ? { outcome: 'absent', why: 'missing' } : { outcome: 'fails', why: 'unknown' };
  } finally {
    for (const track of stream?.getTracks() ?? []) track.stop();
  }
}

/** @param {number} milliseconds */
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
