import { h, setText } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { remember } from '../storage/preferences.js';

/** @type {import('../../sdk/data-saving.js').SavingLevel[]} */
const LEVELS = ['all', 'low', 'sound'];

/** The setting of how much data pictures may cost, which takes effect at once. */
export class SavingField {
  element;

  /**
   * @param {import('../../sdk/index.js').LocalMedia} media
   * @param {import('../../sdk/index.js').DataSaving} saving
   */
  constructor(media, saving) {
    const hint = h('p', { class: 'hint', id: 'saving-hint' });
    const describe = () => setText(hint, t(`settings.saving.${saving.level}.hint`));
    const options = LEVELS.map((level) => h('option', { value: level }, t(`settings.saving.${level}`)));
    const select = h('select', { class: 'input', id: 'saving', 'aria-describedby': hint.id, onchange: () => {
      const level = LEVELS.find((one) => one === select.value) ?? 'all';
      remember({ dataSaving: level });
      saving.level = level;
      // Afterwards, as at any time, only its own button switches the camera on.
      if (level === 'sound') void media.setCamera(false);
      describe();
    } }, ...options);
    select.value = saving.level;
    describe();
    this.element = h('div', { class: 'field' }, h('label', { for: select.id }, t('settings.saving')), select, hint);
  }
}
