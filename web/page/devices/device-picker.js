import { h } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { remember } from '../storage/preferences.js';

/**
 * @typedef {import('../../sdk/local-media.js').LocalMedia} LocalMedia
 * @typedef {import('../../sdk/local-media.js').DeviceKind} DeviceKind
 */

let count = 0;

/** A list of the cameras or microphones. */
export class DevicePicker {
  element;
  #select;
  #media;
  #kind;
  /** @type {string | null} */
  #listed = null;

  /**
   * @param {LocalMedia} media
   * @param {DeviceKind} kind
   */
  constructor(media, kind) {
    this.#media = media;
    this.#kind = kind;
    const id = `picker-${kind}-${++count}`;
    this.#select = h('select', { id, class: 'input', onchange: () => void this.#choose() });
    this.element = h('div', { class: 'field' }, h('label', { for: id }, t(`devices.${kind}`)), this.#select);
    // The browser reveals the names of devices only after the user has allowed one.
    media.on('change', () => void this.#list());
    navigator.mediaDevices?.addEventListener('devicechange', () => void this.#list());
    void this.#list();
  }

  async #list() {
    const wanted = this.#kind === 'camera' ? 'videoinput' : 'audioinput';
    const devices = (await this.#media.devices()).filter(({ kind, deviceId }) => kind === wanted && deviceId);
    const current = this.#media[this.#kind]?.getSettings().deviceId ?? this.#media.chosen[this.#kind];
    const options = devices.map(({ deviceId, label }, index) =>
      h('option', { value: deviceId }, label || `${t(`devices.${this.#kind}`)} ${index + 1}`));
    const listed = devices.map(({ deviceId, label }) => `${deviceId} ${label}`).join('\n');
    // A list that is open must not be rebuilt.
    if (listed !== this.#listed) {
      this.#listed = listed;
      const none = h('option', {}, t(`devices.none.${this.#kind}`));
      this.#select.replaceChildren(...(options.length > 0 ? options : [none]));
      this.#select.disabled = options.length === 0;
    }
    if (devices.some(({ deviceId }) => deviceId === current)) this.#select.value = current;
  }

  async #choose() {
    await this.#media.choose(this.#kind, this.#select.value);
    // The list shows the device in use: one that could not be opened is not selected again.
    remember({ [this.#kind]: this.#media.chosen[this.#kind] });
  }
}
