import { Countdown } from '../widgets/countdown.js';
import { h } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { logo } from '../widgets/icons.js';
import { at } from '../base/root.js';

/** The screen before a meeting starts; the user is let in when it does. */
export class CountdownScreen {
  element;
  #countdown;
  #leave = h('a', { class: 'button', href: at() }, t('end.home'));

  /**
   * @param {Date} startsAt
   * @param {() => void} enter
   */
  constructor(startsAt, enter) {
    this.#countdown = new Countdown(startsAt, enter);
    this.element = h('main', { class: 'end' }, logo(),
      h('h1', {}, t('meeting.early')), this.#countdown.element,
      h('p', { role: 'status' }, t('meeting.earlyHint')), this.#leave);
  }

  focus() {
    this.#leave.focus();
  }

  close() {
    this.#countdown.stop();
  }
}
