import { h, setText } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { linkFor } from '../../room/room-link.js';

/** @typedef {import('../../../sdk/protocol.js').Role} Role */

/** The note for a user who sees nobody else. */
export class AloneNote {
  #title = h('p', { class: 'alone-title' });
  #hint = h('p', {});
  #link = h('bdi', { dir: 'ltr' });
  #linkLine = h('p', { class: 'link-text' }, this.#link);
  /** Whether anybody has been there before. */
  #seen = false;
  element = h('div', { class: 'alone', role: 'status' }, this.#title, this.#hint, this.#linkLine);

  /** @param {{role: Role, others: number, viewers: number}} room its current state */
  update({ role, others, viewers }) {
    this.#seen ||= others > 0;
    // A broadcaster needs no other participant, only viewers.
    this.element.hidden = others > 0 || (role === 'broadcaster' && viewers > 0);
    this.element.classList.toggle('waiting', role === 'viewer');
    this.#linkLine.hidden = role === 'viewer';
    setText(this.#link, linkFor(role));
    const key = role === 'viewer' ? (this.#seen ? 'watch.paused' : 'watch.waiting') : role === 'broadcaster' ? 'broadcast.alone' : 'call.alone';
    setText(this.#title, t(key));
    setText(this.#hint, t(`${key}Hint`));
  }
}
