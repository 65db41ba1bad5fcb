import { h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';

/** The prompt that is shown while the browser blocks sound until a click. */
export class SoundPrompt {
  element = h('div', { class: 'banner', role: 'alert', hidden: true });

  /** @param {import('../../devices/sound-output.js').SoundOutput} output */
  constructor(output) {
    const unblock = async () => {
      this.element.hidden = true;
      await output.unblock();
    };
    this.element.append(h('span', {}, t('sound.blocked')), h('button', { type: 'button', class: 'button small', onclick: unblock }, t('sound.turnOn')));
    output.onblocked = () => {
      this.element.hidden = false;
    };
  }
}
