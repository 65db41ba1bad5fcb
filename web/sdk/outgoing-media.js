import { Emitter } from './emitter.js';

/**
 * The local media that is sent: all of it, or nothing while it is held back.
 *
 * @extends {Emitter<{change: void}>}
 */
export class OutgoingMedia extends Emitter {
  #media;
  #held = false;

  /** @param {import('./local-media.js').LocalMedia} media */
  constructor(media) {
    super();
    this.#media = media;
    media.on('change', () => this.emit('change', undefined));
  }

  get held() {
    return this.#held;
  }

  /** @param {boolean} on */
  set held(on) {
    if (on === this.#held) return;
    this.#held = on;
    this.emit('change', undefined);
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
