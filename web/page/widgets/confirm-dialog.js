import { textButton } from './buttons.js';
import { closeDialog, onClosed, openDialog } from './dialog.js';
import { h, setText } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { Steady } from './steady.js';

/** Asks for confirmation of an action that cannot be undone. */
export class ConfirmDialog {
  #title = h('h2', { id: 'confirm-title' });
  #text = h('p', { id: 'confirm-text' });
  #yes = textButton('', () => this.#close(true), 'danger');
  #no = textButton(t('confirm.cancel'), () => this.#close(false));
  element = h('dialog', { class: 'confirm', role: 'alertdialog', 'aria-labelledby': 'confirm-title', 'aria-describedby': 'confirm-text' },
    this.#title, this.#text, h('div', { class: 'actions' }, this.#no, this.#yes));
  #steady = new Steady(this.element);
  /** @type {(yes: boolean) => void} */
  #answer = () => {};

  constructor() {
    onClosed(this.element, () => this.#answer(false));
  }

  /**
   * @param {{title: string, text: string, action: string}} question and the label of the confirming button
   * @returns {Promise<boolean>} whether the user confirmed
   */
  ask({ title, text, action }) {
    this.#answer(false);
    setText(this.#title, title);
    setText(this.#text, text);
    setText(this.#yes, action);
    // The dialog opens under the pointer that opened it.
    this.#steady.moved();
    openDialog(this.element);
    this.#no.focus();
    return new Promise((resolve) => (this.#answer = resolve));
  }

  /** @param {boolean} yes */
  #close(yes) {
    this.#answer(yes);
    this.#answer = () => {};
    closeDialog(this.element);
  }
}
