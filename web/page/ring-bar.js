import { h } from './dom.js';
import { t } from './i18n.js';
import { textButton } from './buttons.js';

/**
 * @typedef {import('../sdk/index.js').Call} Call
 * @typedef {import('../sdk/index.js').Ringing} Ringing
 * @typedef {import('../sdk/ringing.js').OneToOne} OneToOne
 */

/** A one-to-one call that rings or goes on, above the stage. */
export class RingBar {
  element = h('div', { class: 'ring-bar', role: 'group', 'aria-label': t('ring.label'), hidden: true });
  #call;
  #ringing;

  /**
   * @param {Call} call
   * @param {Ringing} ringing
   * @param {import('./toasts.js').Toasts} toasts
   */
  constructor(call, ringing, toasts) {
    this.#call = call;
    this.#ringing = ringing;
    ringing.on('change', (moved) => {
      const name = this.#nameOf(moved);
      if (moved.state === 'ended') toasts.show(t(`ring.${moved.reason ?? 'hung-up'}`, { name }));
      if (moved.state === 'ringing' && moved.incoming) toasts.show(t('ring.incoming', { name }));
      this.#render();
    });
    call.on('left', () => this.#render());
  }

  #render() {
    const { current } = this.#ringing;
    this.element.hidden = current === null;
    if (!current) return this.element.replaceChildren();
    const name = this.#nameOf(current);
    const ringingIn = current.state === 'ringing' && current.incoming;
    const text = current.state !== 'ringing' ? t(`ring.${current.state}`, { name }) : t(ringingIn ? 'ring.incoming' : 'ring.outgoing', { name });
    const buttons = ringingIn
      ? [
        textButton(t('ring.accept'), () => void this.#ringing.accept().catch(() => {}), 'primary'),
        textButton(t('ring.decline'), () => void this.#ringing.decline().catch(() => {}), 'danger'),
      ]
      : [textButton(t(current.state === 'ringing' ? 'ring.cancel' : 'ring.hangUp'), () => void this.#ringing.hangUp().catch(() => {}), 'danger')];
    this.element.replaceChildren(h('span', { dir: 'auto' }, text), ...buttons);
  }

  /** @param {OneToOne} record */
  #nameOf({ peer }) {
    return this.#call.peer(peer)?.name ?? t('chat.somebody');
  }
}
