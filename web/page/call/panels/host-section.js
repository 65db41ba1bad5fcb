import { h, setText } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { knock } from '../notices/knocks.js';
import { textButton } from '../../widgets/buttons.js';
import { recordingsLink } from '../../room/recordings-link.js';

/**
 * @typedef {import('../../../sdk/index.js').Call} Call
 * @typedef {import('../../../sdk/index.js').HostPowers} HostPowers
 */

/** The host's controls beside the list of people: the lobby, access, the recording, and ending the call. */
export class HostSection {
  element;
  /** The button that ends the call for everybody; it stands below the list. */
  end;
  #call;
  #host;
  #attempt;
  #waiting = h('ul', { class: 'people-list', 'aria-label': t('lobby.waiting') });
  #waitingSection = h('section', { class: 'waiting', hidden: true }, h('h3', {}, t('lobby.waiting')), this.#waiting);
  #locked = checkbox('host-lock', 'host.lock', (on) => this.#use(on ? 'lock' : 'unlock'));
  #lobby = checkbox('host-lobby', 'host.lobby', (on) => this.#use('set-lobby', on));
  #record = textButton(t('host.record'), () => this.#toggleRecording());
  #recordings = h('a', { class: 'button small', target: '_blank', rel: 'noopener' }, t('host.recordings'));
  #recording = h('section', { class: 'group' }, h('h3', {}, t('host.recording')), h('div', { class: 'actions' }, this.#record, this.#recordings));
  #password = h('input', { class: 'input', id: 'host-password', type: 'text', autocomplete: 'off', maxlength: 64 });
  /** The ids of the peers that are shown as waiting. */
  #listed = '';

  /**
   * @param {Call} call
   * @param {HostPowers} host
   * @param {object} options
   * @param {(action: Promise<void>) => void} options.attempt tells the user when it fails
   * @param {import('../../widgets/confirm-dialog.js').ConfirmDialog} options.confirm
   */
  constructor(call, host, { attempt, confirm }) {
    this.#call = call;
    this.#host = host;
    this.#attempt = attempt;
    const setPassword = (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#use('set-password', this.#password.value);
      this.#password.value = '';
    };
    this.element = h('div', { class: 'host' }, this.#waitingSection,
      h('details', { class: 'controls' }, h('summary', {}, t('host.title')),
        h('section', { class: 'group' }, h('h3', {}, t('host.access')), this.#locked.element, this.#lobby.element,
          h('form', { class: 'field', onsubmit: setPassword }, h('label', { for: 'host-password' }, t('host.password')),
            h('div', { class: 'with-button' }, this.#password, h('button', { type: 'submit', class: 'button small' }, t('host.setPassword'))))),
        this.#recording));
    const sure = { title: t('host.endSure'), text: t('host.endMeans'), action: t('host.endYes') };
    const end = async () => {
      if (await confirm.ask(sure)) this.#use('end');
    };
    this.end = h('div', { class: 'end-for-all' }, textButton(t('host.end'), () => void end(), 'danger'));
    host.on('change', () => this.#render());
    call.on('self', () => this.#render());
    this.#render();
  }

  /**
   * Updates the waiting peers, which moves the controls below.
   *
   * @returns {boolean} whether they have changed
   */
  settle() {
    const { waiting, isHost } = this.#host;
    const listed = JSON.stringify(isHost ? [...waiting] : null);
    if (listed === this.#listed) return false;
    this.#listed = listed;
    this.element.hidden = this.end.hidden = !isHost;
    this.#waitingSection.hidden = waiting.size === 0;
    this.#waiting.replaceChildren(...[...waiting].map(([id, name]) => knock(this.#host, this.#attempt, id, name, name)));
    return true;
  }

  #render() {
    const { room, hostToken } = this.#call;
    this.#recording.hidden = !this.#call.features.includes('recording');
    setText(this.#record, t(room?.recording ? 'host.stopRecording' : 'host.record'));
    if (room) this.#recordings.href = recordingsLink(room.id, hostToken);
    this.#locked.input.checked = room?.locked ?? false;
    this.#lobby.input.checked = room?.lobby ?? false;
    this.#password.placeholder = t(room?.password ? 'host.passwordSet' : 'host.noPassword');
  }

  #toggleRecording() {
    if (this.#call.room?.recording) return this.#use('stop-recording');
    // The host who starts the recording consents to it.
    this.#call.consent();
    this.#use('start-recording');
  }

  /**
   * @param {import('../../../sdk/host-powers.js').HostAction} action
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
