import { LevelMeter } from '../../../sdk/index.js';
import { t } from '../../base/i18n.js';

const EVERY_MS = 200;
const LOUD = 0.55;
/** This many samples in a row are speech, not a single noise. */
const LOOKS = 4;
const AGAIN_MS = 30_000;

/** Tells a user who speaks that the microphone is muted. */
export class MutedHint {
  #meter = new LevelMeter();
  #timer;
  #changed;
  #loud = 0;
  #said = -AGAIN_MS;

  /**
   * @param {import('../../../sdk/index.js').LocalMedia} media
   * @param {import('./toasts.js').Toasts} toasts
   */
  constructor(media, toasts) {
    const listen = () => this.#meter.listen(media.microphoneOn ? null : media.microphone);
    // The meter holds a copy of the track, and with it the device, so it is closed with the track.
    this.#changed = media.on('change', listen);
    listen();
    this.#timer = setInterval(() => {
      this.#loud = this.#meter.level > LOUD ? this.#loud + 1 : 0;
      if (this.#loud < LOOKS || performance.now() - this.#said < AGAIN_MS) return;
      this.#said = performance.now();
      toasts.show(t('call.mutedHint'));
    }, EVERY_MS);
  }

  close() {
    clearInterval(this.#timer);
    this.#changed();
    this.#meter.close();
  }
}
