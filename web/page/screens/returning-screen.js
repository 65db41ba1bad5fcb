import { h, setText } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { logo } from '../widgets/icons.js';

/** The screen while a reloaded page returns into its call. */
export class ReturningScreen {
  #text = h('p', { role: 'status', tabindex: -1 }, t('prejoin.connecting'));
  element = h('main', { class: 'end waiting-screen' }, logo(), this.#text);

  focus() {
    this.#text.focus();
  }

  /** The server cannot be reached; the client tries again. */
  unreachable() {
    setText(this.#text, t('prejoin.unreachable'));
  }
}
