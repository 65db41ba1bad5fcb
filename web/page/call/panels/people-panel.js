import { h, setText } from '../../base/dom.js';
import { HostSection } from './host-section.js';
import { t } from '../../base/i18n.js';
import { PersonRow } from './person-row.js';
import { linkFor } from '../../room/room-link.js';
import { Steady } from '../../widgets/steady.js';

/**
 * @typedef {import('../../../sdk/index.js').Call} Call
 * @typedef {import('../../../sdk/index.js').HostPowers} HostPowers
 * @typedef {import('../../../sdk/index.js').Ringing} Ringing
 * @typedef {import('../../../sdk/protocol.js').Peer} Peer
 * @typedef {import('./person-row.js').PersonAction} PersonAction
 * @typedef {import('../../widgets/confirm-dialog.js').ConfirmDialog} ConfirmDialog
 */

/** After the pointer has rested this long, the list may be reordered under it. */
const RESTS_MS = 2000;

/** Lists the people in the room and in the lobby, with the actions available for each. */
export class PeoplePanel {
  element;
  title = t('people.title');
  #call;
  #host;
  #ringing;
  #confirm;
  #attempt;
  #list = h('ul', { class: 'people-list', 'aria-label': t('people.inCall') });
  #viewers = h('p', { class: 'viewers', hidden: true });
  /** @type {Map<string, PersonRow>} */
  #rows = new Map();
  /** Rows of peers that have left, which are removed once no pointer is near. @type {Set<PersonRow>} */
  #gone = new Set();
  #section;
  #steady;
  #pointedAt = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #settling;

  /**
   * @param {Call} call
   * @param {HostPowers} host
   * @param {Ringing} ringing
   * @param {object} options
   * @param {(action: Promise<void>) => void} options.attempt tells the user when it fails
   * @param {ConfirmDialog} options.confirm
   */
  constructor(call, host, ringing, { attempt, confirm }) {
    this.#call = call;
    this.#host = host;
    this.#ringing = ringing;
    this.#confirm = confirm;
    this.#attempt = attempt;
    this.#section = new HostSection(call, host, { attempt, confirm });
    this.element = h('div', { class: 'people' }, this.#section.element, this.#list, this.#viewers,
      h('div', { class: 'room-link' }, h('h3', {}, t('link.title')), h('p', { class: 'link-text' }, h('bdi', { dir: 'ltr' }, linkFor(call.self?.role ?? 'participant')))),
      this.#section.end);
    this.#steady = new Steady(this.element);
    this.element.addEventListener('pointermove', () => (this.#pointedAt = performance.now()), { passive: true });
    this.element.addEventListener('pointerleave', () => {
      this.#pointedAt = -Infinity;
      this.#settle();
    });
    for (const event of /** @type {const} */ (['joined', 'left', 'updated', 'self', 'room'])) call.on(event, () => this.#render());
    host.on('change', () => this.#render());
    ringing.on('change', () => this.#render());
    this.#render();
  }

  #render() {
    const { self, peers, room } = this.#call;
    const everybody = [...(self ? [self] : []), ...peers];
    const there = new Set(everybody.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (there.has(id)) continue;
      this.#rows.delete(id);
      this.#gone.add(row);
      row.leave();
    }
    let moved = false;
    for (const peer of everybody) moved = this.#row(peer).update(peer, this.#powers(peer)) || moved;
    if (moved) this.#steady.moved();
    const viewers = room?.viewers ?? 0;
    this.#viewers.hidden = viewers === 0;
    setText(this.#viewers, t('people.viewers', { count: viewers }));
    this.#settle();
  }

  /** Applies a change that moves rows once the pointer is not about to press a button. */
  #settle() {
    clearTimeout(this.#settling);
    const resting = performance.now() - this.#pointedAt;
    if (resting < RESTS_MS) return void (this.#settling = setTimeout(() => this.#settle(), RESTS_MS - resting));
    const moved = this.#section.settle() || this.#gone.size > 0;
    for (const row of this.#gone) row.element.remove();
    this.#gone.clear();
    if (moved) this.#steady.moved();
  }

  /** @param {Peer} peer */
  #powers(peer) {
    return { own: peer.id === this.#call.self?.id, host: this.#host.isHost, ringing: this.#ringing.current !== null };
  }

  /** The row of a peer; a new one is last, the user's own first. @param {Peer} peer */
  #row({ id }) {
    const known = this.#rows.get(id);
    if (known) return known;
    const row = new PersonRow((action) => this.#act(action, id));
    this.#rows.set(id, row);
    if (id === this.#call.self?.id) this.#list.prepend(row.element);
    else this.#list.append(row.element);
    return row;
  }

  /** @param {PersonAction} action @param {string} id */
  #act(action, id) {
    const name = this.#call.peer(id)?.name ?? '';
    const use = (/** @type {import('../../../sdk/host-powers.js').HostAction} */ power) => this.#host.use(power, { peer: id });
    if (action === 'ring') this.#attempt(this.#ringing.ring(id));
    else if (action === 'mute') this.#attempt(use('mute'));
    else if (action === 'invite') this.#attempt(use('promote'));
    else void this.#sure(action, name, () => use(action));
  }

  /**
   * @param {'promote' | 'kick'} action
   * @param {string} name
   * @param {() => Promise<void>} act
   */
  async #sure(action, name, act) {
    const question = { title: t(`people.${action}Sure`, { name }), text: t(`people.${action}Means`, { name }), action: t(`people.${action}`) };
    if (await this.#confirm.ask(question)) this.#attempt(act());
  }
}
