import { DevicePrompt } from './device-prompt.js';
import { Device } from './device.js';
import { Emitter } from './emitter.js';

/**
 * @typedef {'denied' | 'busy' | 'missing' | 'failed'} ShareProblem
 * @typedef {import('./device-prompt.js').DeviceKind} DeviceKind
 * @typedef {import('./device-prompt.js').DeviceProblem} DeviceProblem
 * @typedef {import('./device.js').Choice} Choice
 * @typedef {import('./device.js').Substitution} Substitution
 */

const CAMERA = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const MICROPHONE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/**
 * The local media: microphone, camera, screen. A muted microphone keeps its device, a camera that is off
 * releases it, so that its light goes out.
 *
 * @extends {Emitter<{
 *   change: void,
 *   problem: {kind: DeviceKind, problem: DeviceProblem},
 *   shareproblem: ShareProblem,
 *   substituted: {kind: DeviceKind} & Substitution,
 * }>}
 */
export class LocalMedia extends Emitter {
  /** @type {MediaStreamTrack | null} */
  screen = null;
  /** @type {MediaStreamTrack | null} */
  screenAudio = null;
  #prompt = new DevicePrompt();
  /** @type {Record<DeviceKind, Device>} */
  #devices = {
    microphone: this.#device('microphone', (choice) => this.#prompt.ask('microphone', { ...MICROPHONE, ...exactly(choice) })),
    camera: this.#device('camera', (choice) => this.#openCamera(choice)),
  };
  #microphoneOn = true;
  #screenWanted = false;
  /** @type {Promise<boolean> | null} */
  #sharing = null;

  get microphone() {
    return this.#devices.microphone.track;
  }

  get camera() {
    return this.#devices.camera.track;
  }

  /** Not muted by the user. The system may still have silenced it. */
  get microphoneOn() {
    return this.microphone !== null && this.#microphoneOn;
  }

  get cameraOn() {
    return this.camera !== null;
  }

  get screenOn() {
    return this.screen !== null;
  }

  /** Which devices are on but blocked by the system. @returns {Record<DeviceKind, boolean>} */
  get silenced() {
    const { microphone, camera } = this.#devices;
    return { microphone: this.microphoneOn && microphone.silenced, camera: camera.silenced };
  }

  /** Why a requested device is not available. @returns {Record<DeviceKind, DeviceProblem | null>} */
  get problems() {
    const { microphone, camera } = this.#devices;
    return { microphone: microphone.problem, camera: camera.problem };
  }

  /** Which devices are in use instead of the chosen ones. @returns {Record<DeviceKind, Substitution | null>} */
  get substitutions() {
    const { microphone, camera } = this.#devices;
    return { microphone: microphone.substitution, camera: camera.substitution };
  }

  /** Chosen devices; empty for the browser's choice. @returns {Readonly<Record<DeviceKind, string>>} */
  get chosen() {
    const { microphone, camera } = this.#devices;
    return { microphone: microphone.choice.deviceId, camera: camera.choice.deviceId };
  }

  set chosen({ microphone, camera }) {
    void this.choose('microphone', microphone);
    void this.choose('camera', camera);
  }

  /** The direction of the camera; that of an open camera is known best. @returns {'user' | 'environment' | null} */
  get facing() {
    const mode = this.camera?.getSettings().facingMode;
    return mode === 'user' || mode === 'environment' ? mode : this.#devices.camera.choice.facing;
  }

  get canShareScreen() {
    return typeof navigator.mediaDevices?.getDisplayMedia === 'function';
  }

  /**
   * Opens microphone and camera with one prompt, and each separately if they are not available together.
   *
   * @param {{microphone: boolean, camera: boolean}} wanted
   */
  async open({ microphone, camera }) {
    await Promise.all([microphone && this.#devices.microphone.open(), camera && this.#devices.camera.open()]);
    this.emit('change', undefined);
  }

  /** @param {boolean} on */
  async setMicrophone(on) {
    const { microphone } = this.#devices;
    this.#microphoneOn = on;
    if (microphone.track) microphone.track.enabled = on;
    else if (on) await microphone.open();
    else microphone.close();
    this.emit('change', undefined);
  }

  /** @param {boolean} on */
  async setCamera(on) {
    if (on) await this.#devices.camera.open();
    else this.#devices.camera.close();
    this.emit('change', undefined);
  }

  /**
   * Selects another device. A closed one stays closed.
   *
   * @param {DeviceKind} kind
   * @param {string} deviceId
   */
  async choose(kind, deviceId) {
    await this.#devices[kind].choose({ deviceId, facing: null });
    this.emit('change', undefined);
  }

  /** Switches between the camera that faces the user and the one that faces away. A camera that is off stays off. */
  async flipCamera() {
    const facing = this.facing === 'environment' ? 'user' : 'environment';
    await this.#devices.camera.choose({ deviceId: '', facing });
    this.emit('change', undefined);
  }

  /** Asks which screen, window or tab to show. @returns {Promise<boolean>} whether something is shown */
  shareScreen() {
    this.#screenWanted = true;
    this.#sharing ??= this.#share().finally(() => {
      this.#sharing = null;
    });
    return this.#sharing;
  }

  stopScreen() {
    this.#takeScreen(null);
    this.emit('change', undefined);
  }

  /** Releases every device, also those that a pending request still delivers. */
  close() {
    this.#takeScreen(null);
    for (const device of Object.values(this.#devices)) device.close();
    this.emit('change', undefined);
  }

  /** @returns {Promise<MediaDeviceInfo[]>} */
  async devices() {
    return (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
  }

  /**
   * @param {DeviceKind} kind
   * @param {(choice: Choice) => Promise<MediaStreamTrack>} open
   */
  #device(kind, open) {
    const unplugged = async (/** @type {string} */ id) => !(await this.devices()).some(({ deviceId }) => deviceId === id);
    return new Device({
      open: async (choice) => {
        const track = await open(choice);
        if (kind === 'microphone') track.enabled = this.#microphoneOn;
        return track;
      },
      changed: () => this.emit('change', undefined),
      failed: (problem) => this.emit('problem', { kind, problem }),
      substituted: (substitution) => this.emit('substituted', { kind, ...substitution }),
      // Another camera may show something that the user did not mean to show.
      ...(kind === 'microphone' ? { unplugged } : {}),
    });
  }

  /** @param {Choice} choice */
  async #openCamera(choice) {
    const { facing } = choice;
    if (!facing) return this.#prompt.ask('camera', { ...CAMERA, ...exactly(choice) });
    try {
      return await this.#prompt.ask('camera', { ...CAMERA, facingMode: { exact: facing } });
    } catch (error) {
      if (/** @type {any} */ (error)?.name !== 'OverconstrainedError') throw error;
    }
    // Cameras of computers do not report a direction.
    const current = this.camera?.getSettings().deviceId;
    const other = (await this.devices()).find(({ kind, deviceId }) => kind === 'videoinput' && deviceId && deviceId !== current);
    return this.#prompt.ask('camera', { ...CAMERA, ...(current && other ? { deviceId: { exact: other.deviceId } } : {}) });
  }

  async #share() {
    /** @type {MediaStream} */
    let stream;
    try {
      stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 15 } }, audio: true });
    } catch (error) {
      const problem = shareProblemOf(error);
      if (problem) this.emit('shareproblem', problem);
      return false;
    }
    if (this.#screenWanted) this.#takeScreen(stream);
    else for (const track of stream.getTracks()) track.stop();
    this.emit('change', undefined);
    return this.screen !== null;
  }

  /** @param {MediaStream | null} stream */
  #takeScreen(stream) {
    for (const track of [this.screen, this.screenAudio]) {
      if (!track) continue;
      track.onended = null;
      track.stop();
    }
    this.#screenWanted = stream !== null;
    this.screen = stream?.getVideoTracks()[0] ?? null;
    this.screenAudio = stream?.getAudioTracks()[0] ?? null;
    if (!this.screen) return;
    this.screen.contentHint = 'detail';
    this.screen.onended = () => this.stopScreen();
  }
}

/** @param {Choice} choice @returns {MediaTrackConstraints} `exact`, since Chromium ignores a mere preference */
function exactly({ deviceId }) {
  return deviceId ? { deviceId: { exact: deviceId } } : {};
}

/**
 * Why a screen is not shared; `null` when the user has changed their mind.
 *
 * @param {unknown} error
 * @returns {ShareProblem | null}
 */
function shareProblemOf(error) {
  const { name = '', message = '' } = error instanceof Error || error instanceof DOMException ? error : {};
  // Only the message distinguishes the system's refusal from the user's, in Chromium and Firefox.
  if (name === 'NotAllowedError') return /system|platform/i.test(message) ? 'denied' : null;
  if (name === 'NotReadableError' || name === 'AbortError') return 'busy';
  return name === 'NotFoundError' ? 'missing' : 'failed';
}
