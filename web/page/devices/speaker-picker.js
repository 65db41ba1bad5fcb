import { h } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { SoundOutput } from './sound-output.js';

/** A list of the loudspeakers, where the browser lets a page choose one. */
export class SpeakerPicker {
  element;
  #media;
  #output;
  #select = h('select', { class: 'input', id: 'speaker', onchange: () => void this.#choose() });

  /**
   * @param {import('../../sdk/index.js').LocalMedia} media
   * @param {SoundOutput} output
   */
  constructor(media, output) {
    this.#media = media;
    this.#output = output;
    this.element = h('div', { class: 'field', hidden: !SoundOutput.canChoose }, h('label', { for: 'speaker' }, t('devices.speaker')), this.#select);
    navigator.mediaDevices?.addEventListener('devicechange', () => void this.#list());
    void this.#list();
  }

  async #choose() {
    await this.#output.choose(this.#select.value);
    this.#select.value = this.#output.speaker;
  }

  async #list() {
    const speakers = (await this.#media.devices()).filter(({ kind, deviceId }) => kind === 'audiooutput' && deviceId && deviceId !== 'default');
    const usual = h('option', { value: '' }, t('devices.usualSpeaker'));
    this.#select.replaceChildren(usual, ...speakers.map(({ deviceId, label }, index) =>
      h('option', { value: deviceId }, label || `${t('devices.speaker')} ${index + 1}`)));
    this.#select.value = this.#output.speaker;
    if (this.#select.selectedIndex < 0) this.#select.value = '';
  }
}
