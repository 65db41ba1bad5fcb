import { Emitter } from './emitter.js';

/**
 * @typedef {'microphone' | 'camera'} DeviceKind
 * @typedef {'denied' | 'missing' | 'busy' | 'insecure'} DeviceProblem
 */

const CAMERA = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const MICROPHONE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/**
 * What this side has to send: microphone, camera, screen. A muted microphone keeps its device, a camera that is off
 * gives it back, so that its light goes out.
 *
 * @extends {Emitter<{change: void, problem: {kind: DeviceKind, problem: DeviceProblem}}>}
 */
export class LocalMedia extends Emitter {
  /** @type {MediaStreamTrack | null} */
  microphone = null;
  /** @type {MediaStreamTrack | null} */
  camera = null;
  /** @type {MediaStreamTrack | null} */
  screen = null;
  /** @type {MediaStreamTrack | null} */
  screenAudio = null;
  /** Why a device is not there, when it was asked for. @type {Record<DeviceKind, DeviceProblem | null>} */
  problems = { microphone: null, camera: null };
  /** @type {{microphone: string, camera: string}} chosen devices; empty for the browser's choice */
  chosen = { microphone: '', camera: '' };
  /** @type {'user' | 'environment' | null} */
  facing = null;
  #microphoneOn = true;

  get microphoneOn() {
    return this.microphone !== null && this.#microphoneOn;
  }

  get cameraOn() {
    return this.camera !== null;
  }

  get screenOn() {
    return this.screen !== null;
  }

  get canShareScreen() {
    return typeof navigator.mediaDevices?.getDisplayMedia === 'function';
  }

  /**
   * Opens microphone and camera with one question to the user, and each alone when they cannot be had together.
   *
   * @param {{microphone: boolean, camera: boolean}} wanted
   */
  async open({ microphone, camera }) {
    if (microphone && camera && navigator.mediaDevices) {
      try {
        const constraints = { audio: this.#constraints('microphone'), video: this.#constraints('camera') };
        const stream = await navigator.mediaDevices.getUserMedia(constraints);
        this.#take('microphone', stream.getAudioTracks()[0] ?? null);
        this.#take('camera', stream.getVideoTracks()[0] ?? null);
        return this.emit('change', undefined);
      } catch {
        // One of the two is not to be had. Which, the attempts one by one tell.
      }
    }
    if (microphone) await this.#openOne('microphone');
    if (camera) await this.#openOne('camera');
    this.emit('change', undefined);
  }

  /** @param {boolean} on */
  async setMicrophone(on) {
    this.#microphoneOn = on;
    if (on && !this.microphone) await this.#openOne('microphone');
    if (this.microphone) this.microphone.enabled = on;
    this.emit('change', undefined);
  }

  /** @param {boolean} on */
  async setCamera(on) {
    if (on && !this.camera) await this.#openOne('camera');
    else if (!on) this.#take('camera', null);
    this.emit('change', undefined);
  }

  /**
   * @param {DeviceKind} kind
   * @param {string} deviceId
   */
  async choose(kind, deviceId) {
    this.chosen[kind] = deviceId;
    if (kind === 'camera') this.facing = null;
    if (kind === 'camera' && !this.camera && this.problems.camera === null) return;
    // Phones open no second camera while the first is in use.
    this.#take(kind, null);
    await this.#openOne(kind);
    this.emit('change', undefined);
  }

  /** From the camera that looks at the user to the one that looks away, and back. */
  async flipCamera() {
    this.facing = this.facing === 'environment' ? 'user' : 'environment';
    this.chosen.camera = '';
    this.#take('camera', null);
    await this.#openOne('camera');
    this.emit('change', undefined);
  }

  /** Asks which screen, window or tab to show. @returns {Promise<boolean>} whether something is shown */
  async shareScreen() {
    try {
      const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 15 } }, audio: true });
      this.screen = stream.getVideoTracks()[0] ?? null;
      this.screenAudio = stream.getAudioTracks()[0] ?? null;
    } catch {
      return false;
    }
    if (this.screen) {
      this.screen.contentHint = 'detail';
      this.screen.onended = () => this.stopScreen();
    }
    this.emit('change', undefined);
    return this.screen !== null;
  }

  stopScreen() {
    for (const track of [this.screen, this.screenAudio]) stop(track);
    this.screen = this.screenAudio = null;
    this.emit('change', undefined);
  }

  close() {
    for (const track of [this.microphone, this.camera, this.screen, this.screenAudio]) stop(track);
    this.microphone = this.camera = this.screen = this.screenAudio = null;
  }

  /** @returns {Promise<MediaDeviceInfo[]>} */
  async devices() {
    return (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
  }

  /** @param {DeviceKind} kind */
  async #openOne(kind) {
    if (!navigator.mediaDevices) return this.#fail(kind, 'insecure');
    try {
      const name = kind === 'camera' ? 'video' : 'audio';
      const stream = await navigator.mediaDevices.getUserMedia({ [name]: this.#constraints(kind) });
      this.#take(kind, stream.getTracks()[0] ?? null);
    } catch (error) {
      this.#fail(kind, problemOf(error));
    }
  }

  /**
   * @param {DeviceKind} kind
   * @returns {MediaTrackConstraints}
   */
  #constraints(kind) {
    const deviceId = this.chosen[kind] ? { deviceId: { ideal: this.chosen[kind] } } : {};
    if (kind === 'microphone') return { ...MICROPHONE, ...deviceId };
    return { ...CAMERA, ...deviceId, ...(this.facing ? { facingMode: { ideal: this.facing } } : {}) };
  }

  /**
   * @param {DeviceKind} kind
   * @param {MediaStreamTrack | null} track
   */
  #take(kind, track) {
    stop(this[kind]);
    this[kind] = track;
    if (!track) return;
    this.problems[kind] = null;
    if (kind === 'microphone') track.enabled = this.#microphoneOn;
    track.onended = () => {
      // Pulled out, or taken away by the system.
      if (this[kind] !== track) return;
      this[kind] = null;
      this.#fail(kind, 'missing');
      this.emit('change', undefined);
    };
  }

  /**
   * @param {DeviceKind} kind
   * @param {DeviceProblem} problem
   */
  #fail(kind, problem) {
    this.problems[kind] = problem;
    this.emit('problem', { kind, problem });
  }
}

/** @param {MediaStreamTrack | null} track */
function stop(track) {
  if (!track) return;
  track.onended = null;
  track.stop();
}

/**
 * @param {unknown} error
 * @returns {DeviceProblem}
 */
function problemOf(error) {
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'denied';
  if (name === 'NotReadableError' || name === 'AbortError') return 'busy';
  return 'missing';
}
