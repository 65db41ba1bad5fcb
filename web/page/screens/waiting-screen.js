import { h } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { logo } from '../widgets/icons.js';

/** The screen in the lobby, until a host admits the user. */
export class WaitingScreen {
  element;
  #leave;

  /** @param {import('../../sdk/index.js').Call} call */
  constructor(call) {
    this.#leave = h('button', { type: 'button', class: 'button', onclick: () => call.leave() }, t('dock.leave'));
    this.element = h('main', { class: 'end waiting-screen' }, logo(),
      h('h1', {}, t('lobby.title')),
      h('p', { role: 'status' }, t(call.room?.host ? 'lobby.hint' : 'lobby.noHost')),
      this.#leave);
  }

  focus() {
    this.#leave.focus();
  }
}
