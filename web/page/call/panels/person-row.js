import { textButton } from '../../widgets/buttons.js';
import { attribute, h, setText } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { icon } from '../../widgets/icons.js';
import { hueOf, initials } from '../../base/names.js';

/**
 * @typedef {import('../../../sdk/protocol.js').Peer} Peer
 * @typedef {'ring' | 'mute' | 'promote' | 'invite' | 'kick'} PersonAction
 *
 * @typedef {object} Powers what one can do to somebody now
 * @property {boolean} own it is the user's own row
 * @property {boolean} host the user is host
 * @property {boolean} ringing a one-to-one call is under way
 */

/** A host's actions, in the order of their buttons. @type {PersonAction[]} */
const ACTIONS = ['ring', 'mute', 'invite', 'promote', 'kick'];

/** A person's row in the people panel. Each button keeps its place as long as the row exists, also while it is disabled. */
export class PersonRow {
  #avatar = h('span', { class: 'avatar small', 'aria-hidden': 'true' });
  #name = h('bdi', {});
  #notes = h('small', {});
  #state = h('span', { class: 'state', role: 'img' });
  #actions = h('div', { class: 'person-actions' });
  element = h('li', { class: 'person' }, this.#avatar, h('div', { class: 'person-name' }, h('span', {}, this.#name), this.#notes), this.#state, this.#actions);
  /** @type {Map<PersonAction, HTMLButtonElement>} */
  #buttons = new Map();
  #microphone = '';

  /**
   * @param {(action: PersonAction) => void} act
   */
  constructor(act) {
    for (const action of ACTIONS) {
      const press = () => {
        if (button.getAttribute('aria-disabled') !== 'true') act(action);
      };
      const button = textButton(t(`people.${action}`), press, action === 'kick' ? 'warning' : '');
      this.#buttons.set(action, button);
    }
  }

  /**
   * @param {Peer} peer
   * @param {Powers} powers
   * @returns {boolean} whether a button has appeared or disappeared
   */
  update(peer, powers) {
    this.#avatar.dataset.hue = String(hueOf(peer.id));
    setText(this.#avatar, initials(peer.name));
    attribute(this.#name, 'dir', powers.own ? document.documentElement.dir : 'auto');
    setText(this.#name, powers.own ? t('tile.self', { name: peer.name }) : peer.name);
    const notes = [peer.host && t('people.host'), peer.role !== 'participant' && t(`people.${peer.role}`), peer.hand && t('tile.hand')];
    setText(this.#notes, notes.filter((note) => note !== false).join(' · '));
    this.#showMicrophone(peer);
    return this.#showActions(peer, powers);
  }

  /** The person has left; the row keeps its place until it is removed. */
  leave() {
    this.element.classList.add('gone');
    setText(this.#notes, t('people.left'));
    for (const button of this.#buttons.values()) button.setAttribute('aria-disabled', 'true');
  }

  /** @param {Peer} peer */
  #showMicrophone({ role, microphone }) {
    this.#state.hidden = role === 'viewer';
    const picture = microphone ? 'mic' : 'mic-off';
    if (picture === this.#microphone) return;
    this.#microphone = picture;
    attribute(this.#state, 'aria-label', t(microphone ? 'people.micOn' : 'tile.muted'));
    this.#state.replaceChildren(icon(picture));
  }

  /** @param {Peer} peer @param {Powers} powers */
  #showActions(peer, { own, host, ringing }) {
    const viewer = peer.role === 'viewer';
    const offered = { ring: peer.role === 'participant', mute: host && !viewer, invite: host && viewer, promote: host && !viewer, kick: host };
    const possible = { ring: !ringing, mute: peer.microphone, invite: true, promote: !peer.host, kick: true };
    const buttons = own ? [] : ACTIONS.filter((action) => offered[action]).map((action) => {
      const button = /** @type {HTMLButtonElement} */ (this.#buttons.get(action));
      attribute(button, 'aria-label', t(`people.${action}Named`, { name: peer.name }));
      attribute(button, 'aria-disabled', possible[action] ? null : 'true');
      return button;
    });
    const same = buttons.length === this.#actions.children.length && buttons.every((button, index) => this.#actions.children[index] === button);
    if (!same) this.#actions.replaceChildren(...buttons);
    this.#actions.hidden = buttons.length === 0;
    return !same;
  }
}
