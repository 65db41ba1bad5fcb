import { h } from '../base/dom.js';
import { t } from '../base/i18n.js';

/** The server's limit of invitations for a meeting. */
const MOST = 100;

/** The people who are invited by mail, and the API key that this requires. */
export class Invitees {
  element;
  #rows = h('ol', { class: 'invitees' });
  #add = h('button', { type: 'button', class: 'button', onclick: () => this.#append() }, t('schedule.addPerson'));
  #key = h('input', { id: 'mail-key', class: 'input', type: 'password', autocomplete: 'off' });
  #keyField = h('div', { class: 'field', hidden: true }, h('label', { for: 'mail-key' }, t('schedule.mailKey')), this.#key);
  #made = 0;
  #asksForKey;

  /** @param {{asksForKey: boolean}} options whether the key has a field here, and not in the form */
  constructor({ asksForKey }) {
    this.#asksForKey = asksForKey;
    this.element = h('fieldset', { class: 'invite wide' },
      h('legend', {}, t('schedule.invite')),
      h('p', { class: 'soft' }, t('schedule.inviteHint')),
      this.#rows, this.#add, this.#keyField);
  }

  /** The entered people, in the form that the server accepts. */
  get attendees() {
    return [...this.#rows.children].map((row) => {
      const [name, email] = row.querySelectorAll('input');
      return { name: name?.value ?? '', email: email?.value ?? '' };
    });
  }

  /** The key for sending mail; `null` if nobody is invited. */
  get key() {
    return this.#rows.children.length > 0 ? this.#key.value.trim() : null;
  }

  #append() {
    this.#made += 1;
    const id = `invitee-${this.#made}`;
    const name = h('input', { id: `${id}-name`, class: 'input', required: true, maxlength: 64, autocomplete: 'off' });
    const email = h('input', { id: `${id}-email`, class: 'input', type: 'email', required: true, maxlength: 254, autocomplete: 'off' });
    const remove = h('button', { type: 'button', class: 'button', onclick: () => this.#remove(row) }, t('schedule.removePerson'));
    const row = h('li', {},
      h('div', { class: 'field' }, h('label', { for: name.id }, t('schedule.name')), name),
      h('div', { class: 'field' }, h('label', { for: email.id }, t('schedule.email')), email),
      remove);
    this.#rows.append(row);
    this.#changed();
    name.focus();
  }

  /** @param {HTMLLIElement} row */
  #remove(row) {
    row.remove();
    this.#changed();
    this.#add.focus();
  }

  #changed() {
    const count = this.#rows.children.length;
    this.#keyField.hidden = count === 0 || !this.#asksForKey;
    this.#key.required = count > 0 && this.#asksForKey;
    this.#add.disabled = count >= MOST;
  }
}
