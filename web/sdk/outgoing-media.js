import { Emitter } from './emitter.js';

/**
 * The local media that is sent: all of it, or nothing while it is held back in a recorded room.
 *
 * @extends {Emitter<{change: void}>}
 */
export class OutgoingMedia extends Emitter {
  #media;
  #held = false;
  #consented = false;

  /** @param {import('./local-media.js').LocalMedia} media */
  constructor(media) {
    super();
    this.#media = media;
    media.on('change', () => this.emit('change', undefined));
  }

  get held() {
    return this.#held;
  }

  /** Consents to being recorded. @returns {boolean} whether anything was held back */
  consent() {
    this.#consented = true;
    return this.hold(false);
  }

  /**
   * Holds everything back unless the user has consented, or releases it.
   *
   * @param {boolean} asked
   * @returns {boolean} whether that is a change
   */
  hold(asked) {
    const held = asked && !this.#consented;
    if (held === this.#held) return false;
    this.#held = held;
    this.emit('change', undefined);
    return true;
  }

  /** What is on, as the others are shown it. */
  get state() {
    const { microphoneOn, cameraOn, screenOn, silenced } = this.#media;
    return {
      microphone: microphoneOn && !silenced.microphone && !this.#held,
      camera: cameraOn && !silenced.camera && !this.#held,
      screen: screenOn && !this.#held,
    };
  }

  get microphone() {
    return this.#held ? null : this.#media.microphone;
  }

  get camera() {
    return this.#held ? null : this.#media.camera;
  }

  get screen() {
    return this.#held ? null : this.#media.screen;
  }

  get screenAudio() {
    return this.#held ? null : this.#media.screenAudio;
  }
}
