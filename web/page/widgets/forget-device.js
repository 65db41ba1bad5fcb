import { textButton } from './buttons.js';
import { forgetClientId } from '../storage/client-id.js';
import { h, setText } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { forgetCall } from '../storage/kept-call.js';
import { forgetPreferences } from '../storage/preferences.js';

const PREFIX = 'visavis.';

/** Erases everything that the page keeps in this browser: name, choices, meetings, powers of a host. */
function forgetDevice() {
  forgetPreferences();
  forgetClientId();
  forgetCall();
  for (const storage of ['localStorage', 'sessionStorage']) {
    try {
      const kept = /** @type {Storage} */ (/** @type {any} */ (window)[storage]);
      for (const key of Object.keys(kept)) if (key.startsWith(PREFIX)) kept.removeItem(key);
    } catch {
      // The browser has no storage.
    }
  }
}

/** The button that erases all stored data, for a shared computer. */
export class ForgetDevice {
  element;
  #done = h('p', { class: 'hint', role: 'status' });

  /** @param {() => void} [forgotten] */
  constructor(forgotten = () => {}) {
    const button = textButton(t('forget.button'), () => {
      if (!confirm(t('forget.sure'))) return;
      forgetDevice();
      setText(this.#done, t('forget.done'));
      forgotten();
    });
    button.setAttribute('aria-describedby', 'forget-hint');
    this.element = h('div', { class: 'field forget' }, h('div', {}, button), h('p', { class: 'hint', id: 'forget-hint' }, t('forget.hint')), this.#done);
  }
}
