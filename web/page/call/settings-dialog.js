import { DevicePicker } from '../devices/device-picker.js';
import { closeDialog, onClosed, openDialog } from '../widgets/dialog.js';
import { h } from '../base/dom.js';
import { ForgetDevice } from '../widgets/forget-device.js';
import { LANGUAGES, t } from '../base/i18n.js';
import { iconButton } from '../widgets/buttons.js';
import { MeterBar } from '../devices/meter-bar.js';
import { at } from '../base/root.js';
import { preferences, remember } from '../storage/preferences.js';
import { SavingField } from './saving-field.js';
import { SpeakerPicker } from '../devices/speaker-picker.js';

/** @typedef {import('../devices/sound-output.js').SoundOutput} SoundOutput */

/** The settings: devices, data saving, language, shortcuts and statistics. */
export class SettingsDialog {
  element;
  /** @type {(shown: boolean) => void} whether the statistics are to be seen */
  onstatistics = () => {};
  #meter;

  /**
   * @param {import('../../sdk/index.js').Call} call
   * @param {SoundOutput} output
   */
  constructor({ media, saving }, output) {
    this.#meter = new MeterBar(media);
    const close = iconButton('close', 'settings.close', () => closeDialog(this.element), 'plain');
    this.element = h('dialog', { class: 'settings', 'aria-labelledby': 'settings-title' },
      h('header', { class: 'panel-header' }, h('h2', { id: 'settings-title' }, t('settings.title')), close),
      h('div', { class: 'settings-body' },
        new DevicePicker(media, 'camera').element,
        new DevicePicker(media, 'microphone').element,
        this.#meter.element,
        new SpeakerPicker(media, output).element,
        new SavingField(media, saving).element,
        this.#language(),
        toggle('shortcuts', 'settings.shortcuts', preferences.shortcuts, (on) => remember({ shortcuts: on })),
        h('p', { class: 'hint' }, t('settings.shortcutList')),
        h('p', {}, h('a', { href: at('check'), target: '_blank', rel: 'noopener' }, t('check.link'))),
        toggle('statistics', 'settings.statistics', false, (on) => this.onstatistics(on)),
        new ForgetDevice().element));
    onClosed(this.element, () => this.#meter.stop());
  }

  /** Shows the statistics, or hides them. @param {boolean} on */
  set statistics(on) {
    const input = this.element.querySelector('#statistics');
    if (input instanceof HTMLInputElement) input.checked = on;
    this.onstatistics(on);
  }

  open() {
    openDialog(this.element);
    this.#meter.start();
  }

  close() {
    this.element.close();
    this.#meter.stop();
  }

  #language() {
    const options = Object.entries(LANGUAGES).map(([tag, name]) => h('option', { value: tag, lang: tag }, name));
    const select = h('select', { class: 'input', id: 'language', onchange: () => {
      remember({ language: select.value });
      note.hidden = false;
    } }, ...options);
    select.value = document.documentElement.lang;
    const note = h('p', { class: 'hint', role: 'status', hidden: true }, t('settings.languageNext'));
    return h('div', { class: 'field' }, h('label', { for: 'language' }, t('settings.language')), select, note);
  }
}

/**
 * @param {string} id
 * @param {string} key of the label
 * @param {boolean} on
 * @param {(on: boolean) => void} changed
 */
function toggle(id, key, on, changed) {
  const input = h('input', { type: 'checkbox', id, onchange: () => changed(input.checked) });
  input.checked = on;
  return h('label', { class: 'switch', for: id }, input, h('span', { class: 'switch-track' }), t(key));
}
