import { h, setText } from './dom.js';
import { t } from './i18n.js';
import { textButton } from './buttons.js';
import { recordingsLink } from './recordings-link.js';

/**
 * @typedef {import('../sdk/index.js').Call} Call
 * @typedef {import('../sdk/index.js').HostPowers} HostPowers
 */

/** What a host sees above the list of people: who waits, and the room's doors. */
export class HostSection {
  element;
  #call;
  #host;
  #attempt;
  #waiting = h('ul', { class: 'people-list', 'aria-label': t('lobby.waiting') });
  #waitingSection;
  #locked = checkbox('host-lock', 'host.lock', (on) => this.#use(on ? 'lock' : 'unlock'));
  #lobby = checkbox('host-lobby', 'host.lobby', (on) => this.#use('set-lobby', on));
  #record = textButton(t('host.record'), () => this.#use(this.#call.room?.recording ? 'stop-recording' : 'start-recording'));
  #recordings = h('a', { class: 'button', target: '_blank', rel: 'noopener' }, t('host.recordings'));
  #password = h('input', { class: 'input', id: 'host-password', type: 'text', autocomplete: 'off', maxlength: 64 });

  /**
   * @param {Call} call
   * @param {HostPowers} host
   * @param {(action: Promise<void>) => void} attempt tells the user when it fails
   */
  constructor(call, host, attempt) {
    this.#call = call;
    this.#host = host;
    this.#attempt = attempt;
    const setPassword = (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#use('set-password', this.#password.value);
      this.#password.value = '';
    };
    const end = textButton(t('host.end'), () => this.#end(), 'danger');
    this.#waitingSection = h('section', { class: 'waiting' }, h('h3', {}, t('lobby.waiting')), this.#waiting);
    this.element = h('div', { class: 'host' }, this.#waitingSection,
      h('details', { class: 'doors' }, h('summary', {}, t('host.title')),
        this.#locked.element, this.#lobby.element,
        h('form', { class: 'field', onsubmit: setPassword }, h('label', { for: 'host-password' }, t('host.password')),
          h('div', { class: 'with-button' }, this.#password, h('button', { type: 'submit', class: 'button small' }, t('host.setPassword')))),
        this.#record, this.#recordings, end));
    host.on('change', () => this.#render());
    call.on('self', () => this.#render());
    this.#render();
  }

  #render() {
    const { room, hostToken } = this.#call;
    this.element.hidden = !this.#host.isHost;
    const canRecord = this.#call.features.includes('recording');
    this.#record.hidden = this.#recordings.hidden = !canRecord;
    setText(this.#record, t(room?.recording ? 'host.stopRecording' : 'host.record'));
    if (room) this.#recordings.href = recordingsLink(room.id, hostToken);
    this.#locked.input.checked = room?.locked ?? false;
    this.#lobby.input.checked = room?.lobby ?? false;
    this.#password.placeholder = t(room?.password ? 'host.passwordSet' : 'host.noPassword');
    this.#waitingSection.hidden = this.#host.waiting.size === 0;
    this.#waiting.replaceChildren(...[...this.#host.waiting].map(([id, name]) => this.#person(id, name)));
  }

  /** @param {string} id @param {string} name */
  #person(id, name) {
    const admit = textButton(t('lobby.admit'), () => this.#attempt(this.#host.use('admit', { peer: id })), 'primary');
    const deny = textButton(t('lobby.deny'), () => this.#attempt(this.#host.use('deny', { peer: id })));
    admit.setAttribute('aria-label', t('lobby.admitNamed', { name }));
    deny.setAttribute('aria-label', t('lobby.denyNamed', { name }));
    return h('li', { class: 'person' }, h('div', { class: 'person-name' }, h('span', { dir: 'auto' }, name)),
      h('div', { class: 'person-actions' }, admit, deny));
  }

  #end() {
    if (confirm(t('host.endSure'))) this.#use('end');
  }

  /**
   * @param {import('../sdk/host-powers.js').HostAction} action
   * @param {any} [value]
   */
  #use(action, value) {
    this.#attempt(this.#host.use(action, value === undefined ? {} : { value }));
  }
}

/**
 * @param {string} id
 * @param {string} key of its label
 * @param {(on: boolean) => void} changed
 */
function checkbox(id, key, changed) {
  const input = h('input', { type: 'checkbox', id, onchange: () => changed(input.checked) });
  return { input, element: h('label', { class: 'switch', for: id }, input, h('span', { class: 'switch-track' }), t(key)) };
}
