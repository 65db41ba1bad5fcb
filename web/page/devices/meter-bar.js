import { LevelMeter } from '../../sdk/index.js';
import { h } from '../base/dom.js';
import { t } from '../base/i18n.js';

const EVERY_MS = 80;

/** Shows how loud the microphone is. */
export class MeterBar {
  #bar = h('div', { class: 'meter-bar' });
  element = h('div', { class: 'meter', role: 'img', 'aria-label': t('devices.meter') }, this.#bar);
  #meter = new LevelMeter();
  #media;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  /** @type {(() => void) | undefined} */
  #changed;

  /** @param {import('../../sdk/index.js').LocalMedia} media */
  constructor(media) {
    this.#media = media;
  }

  start() {
    this.stop();
    const listen = () => this.#meter.listen(this.#media.microphone);
    // The meter holds a copy of the track, and with it the device, so it is closed with the track.
    this.#changed = this.#media.on('change', listen);
    listen();
    this.#timer = setInterval(() => {
      this.#bar.style.transform = `scaleX(${this.#meter.level.toFixed(2)})`;
    }, EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#changed?.();
    this.#meter.close();
  }
}
