import { preferences, remember } from './preferences.js';

/** Where the others are heard: the chosen loudspeaker, and whether the browser lets us play at all. */
export class SoundOutput {
  /** @type {() => void} the browser wants a click first */
  onblocked = () => {};
  #speaker = preferences.speaker;
  /** @type {Set<HTMLVideoElement>} */
  #videos = new Set();

  static get canChoose() {
    return 'setSinkId' in HTMLMediaElement.prototype;
  }

  get speaker() {
    return this.#speaker;
  }

  /** @param {HTMLVideoElement} video */
  async add(video) {
    this.#videos.add(video);
    await this.#route(video);
    await this.#play(video);
  }

  /** @param {HTMLVideoElement} video */
  remove(video) {
    this.#videos.delete(video);
  }

  /** @param {string} deviceId empty for the system's choice */
  async choose(deviceId) {
    this.#speaker = deviceId;
    remember({ speaker: deviceId });
    await Promise.all([...this.#videos].map((video) => this.#route(video)));
  }

  /** After a click, everything may play. */
  async unblock() {
    await Promise.all([...this.#videos].map((video) => this.#play(video)));
  }

  /** @param {HTMLVideoElement} video */
  async #route(video) {
    if (!SoundOutput.canChoose || video.sinkId === this.#speaker) return;
    // A loudspeaker that is not there any more: the system's choice stays.
    await video.setSinkId(this.#speaker).catch(() => {});
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
