import { h } from './dom.js';
import { HostSection } from './host-section.js';
import { t } from './i18n.js';
import { icon } from './icons.js';
import { hueOf, initials } from './names.js';
import { textButton } from './buttons.js';
import { refusalText } from './refusals.js';

/**
 * @typedef {import('../sdk/index.js').Call} Call
 * @typedef {import('../sdk/index.js').HostPowers} HostPowers
 * @typedef {import('../sdk/index.js').Ringing} Ringing
 * @typedef {import('../sdk/protocol.js').Peer} Peer
 * @typedef {import('./toasts.js').Toasts} Toasts
 */

/** Who is there, who waits, and what one can do about it. */
export class PeoplePanel {
  element;
  title = t('people.title');
  #call;
  #host;
  #ringing;
  #toasts;
  #list = h('ul', { class: 'people-list', 'aria-label': t('people.inCall') });
  #viewers = h('p', { class: 'viewers' });

  /**
   * @param {Call} call
   * @param {HostPowers} host
   * @param {Ringing} ringing
   * @param {Toasts} toasts
   */
  constructor(call, host, ringing, toasts) {
    this.#call = call;
    this.#host = host;
    this.#ringing = ringing;
    this.#toasts = toasts;
    const attempt = (/** @type {Promise<void>} */ action) => this.#attempt(action);
    this.element = h('div', { class: 'people' }, new HostSection(call, host, attempt).element, this.#list, this.#viewers);
    for (const event of /** @type {const} */ (['joined', 'left', 'updated', 'self', 'room'])) call.on(event, () => this.#render());
    host.on('change', () => this.#render());
    ringing.on('change', () => this.#render());
    this.#render();
  }

  opened() {
    this.element.querySelector('button')?.focus();
  }

  #render() {
    const { self, peers, room } = this.#call;
    const focused = document.activeElement?.getAttribute('data-action');
    const everybody = [...(self ? [self] : []), ...peers];
    this.#list.replaceChildren(...everybody.map((peer) => this.#person(peer, peer.id === self?.id)));
    const viewers = room?.viewers ?? 0;
    this.#viewers.hidden = viewers === 0;
    this.#viewers.textContent = t('people.viewers', { count: viewers });
    // The list was made anew under the focus.
    if (focused) /** @type {HTMLElement | null} */ (this.#list.querySelector(`[data-action="${CSS.escape(focused)}"]`))?.focus();
  }

  /**
   * @param {Peer} peer
   * @param {boolean} own
   */
  #person(peer, own) {
    const avatar = h('span', { class: 'avatar small', 'aria-hidden': 'true', 'data-hue': hueOf(peer.id) }, initials(peer.name));
    const notes = [
      peer.host && t('people.host'),
      peer.role !== 'participant' && t(`people.${peer.role}`),
      peer.hand && t('tile.hand'),
    ].filter((note) => note !== false);
    const state = peer.role === 'viewer' ? [] : [
      h('span', { class: 'state', role: 'img', 'aria-label': t(peer.microphone ? 'people.micOn' : 'tile.muted') }, icon(peer.microphone ? 'mic' : 'mic-off')),
    ];
    return h('li', { class: 'person' }, avatar,
      h('div', { class: 'person-name' }, h('span', { dir: 'auto' }, own ? t('tile.self', { name: peer.name }) : peer.name),
        h('small', {}, notes.join(' · '))),
      ...state,
      own ? null : h('div', { class: 'person-actions' }, ...this.#actions(peer)));
  }

  /** @param {Peer} peer */
  #actions(peer) {
    const { name, id } = peer;
    /** @type {HTMLButtonElement[]} */
    const actions = [];
    const add = (/** @type {string} */ key, /** @type {() => Promise<void>} */ act, look = '') => {
      const button = textButton(t(`people.${key}`), () => void this.#attempt(act()), look);
      button.setAttribute('aria-label', t(`people.${key}Named`, { name }));
      button.dataset.action = `${key} ${id}`;
      actions.push(button);
    };
    if (peer.role === 'participant' && !this.#ringing.current) add('ring', () => this.#ringing.ring(id));
    if (!this.#host.isHost) return actions;
    if (peer.microphone) add('mute', () => this.#host.use('mute', { peer: id }));
    if (!peer.host) {
      add(peer.role === 'viewer' ? 'invite' : 'promote', () => this.#host.use('promote', { peer: id }));
    }
    add('kick', () => this.#host.use('kick', { peer: id }), 'warning');
    return actions;
  }

  /** @param {Promise<void>} action */
  async #attempt(action) {
    try {
      await action;
    } catch (error) {
      this.#toasts.show(refusalText(/** @type {any} */ (error).code ?? ''));
    }
  }
}
