import { h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { textButton } from '../../widgets/buttons.js';
import { chime } from './chime.js';

/**
 * @typedef {import('../../../sdk/index.js').Call} Call
 * @typedef {import('../../../sdk/index.js').Ringing} Ringing
 * @typedef {import('../../../sdk/ringing.js').OneToOne} OneToOne
 */

/** A ringing or active one-to-one call, above the stage. */
export class RingBar {
  element = h('div', { class: 'ring-bar notice', role: 'group', 'aria-label': t('ring.label'), hidden: true });
  #call;
  #ringing;
  #shifted;

  /**
   * @param {Call} call
   * @param {Ringing} ringing
   * @param {import('./toasts.js').Toasts} toasts
   * @param {() => void} shifted controls have moved on the screen
   */
  constructor(call, ringing, toasts, shifted) {
    this.#call = call;
    this.#ringing = ringing;
    this.#shifted = shifted;
    ringing.on('change', (moved) => {
      const name = this.#nameOf(moved);
      if (moved.state === 'ended') toasts.show(t(`ring.${moved.reason ?? 'hung-up'}`, { name }));
      if (moved.state === 'ringing' && moved.incoming) chime('ring');
      this.#render();
    });
    call.on('left', () => this.#render());
  }

  #render() {
    const { current } = this.#ringing;
    this.element.hidden = current === null;
    this.#shifted();
    if (!current) return this.element.replaceChildren();
    const name = this.#nameOf(current);
    const ringingIn = current.state === 'ringing' && current.incoming;
    const text = current.state !== 'ringing' ? t(`ring.${current.state}`, { name }) : t(ringingIn ? 'ring.incoming' : 'ring.outgoing', { name });
    const actions = ringingIn
      ? [
        textButton(t('ring.accept'), () => void this.#ringing.accept().catch(() => {}), 'primary'),
        textButton(t('ring.decline'), () => void this.#ringing.decline().catch(() => {}), 'danger'),
      ]
      : [textButton(t(current.state === 'ringing' ? 'ring.cancel' : 'ring.hangUp'), () => void this.#ringing.hangUp().catch(() => {}), 'danger')];
    this.element.replaceChildren(h('span', { class: 'notice-text', role: 'status' }, text), h('div', { class: 'notice-actions' }, ...actions));
  }

  /** @param {OneToOne} record */
  #nameOf({ peer }) {
    return this.#call.peer(peer)?.name ?? t('chat.somebody');
  }
}
