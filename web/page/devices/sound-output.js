import { preferences, remember } from '../storage/preferences.js';

/** The output of sound: the chosen loudspeaker, and whether the browser allows playback. */
export class SoundOutput {
  /** @type {() => void} the browser wants a click first */
  onblocked = () => {};
  /** @type {() => void} the chosen loudspeaker is not to be had, and another one plays */
  onsubstituted = () => {};
  #speaker = preferences.speaker;
  /** @type {Set<HTMLVideoElement>} */
  #videos = new Set();

  static get canChoose() {
    return 'setSinkId' in HTMLMediaElement.prototype;
  }

  /** The loudspeaker in use; empty for the system's choice. */
  get speaker() {
    return this.#speaker;
  }

  /** @param {HTMLVideoElement} video */
  async add(video) {
    this.#videos.add(video);
    // The stored loudspeaker may be missing. The next visit tries it again.
    if (!(await this.#route(video)) && this.#speaker) {
      this.#speaker = '';
      this.onsubstituted();
    }
    await this.#play(video);
  }

  /** @param {HTMLVideoElement} video */
  remove(video) {
    this.#videos.delete(video);
  }

  /**
   * Plays the others on another loudspeaker, or on the previous one if that is not available.
   *
   * @param {string} deviceId empty for the system's choice
   */
  async choose(deviceId) {
    const former = this.#speaker;
    this.#speaker = deviceId;
    const routed = await Promise.all([...this.#videos].map((video) => this.#route(video)));
    if (this.#speaker !== deviceId) return;
    if (routed.every(Boolean)) return remember({ speaker: deviceId });
    this.#speaker = former;
    await Promise.all([...this.#videos].map((video) => this.#route(video)));
    this.onsubstituted();
  }

  /** Resumes playback that the system has paused, as during a phone call. */
  async resume() {
    await Promise.all([...this.#videos].filter(({ paused }) => paused).map((video) => this.#play(video)));
  }

  /** Starts playback after a click of the user. */
  async unblock() {
    await Promise.all([...this.#videos].map((video) => this.#play(video)));
  }

  /** @param {HTMLVideoElement} video @returns {Promise<boolean>} whether it plays on the chosen loudspeaker */
  async #route(video) {
    if (!SoundOutput.canChoose || video.sinkId === this.#speaker) return true;
    return video.setSinkId(this.#speaker).then(() => true, () => false);
  }

  /** @param {HTMLVideoElement} video */
  async #play(video) {
    if (!video.srcObject) return;
    try {
      await video.play();
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NotAllowedError') this.onblocked();
    }
  }
}
