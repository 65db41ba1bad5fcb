import { h } from './dom.js';
import { t } from './i18n.js';
import { icon } from './icons.js';
import { linkFor } from './room-link.js';

/** Copies the room's link. */
export class LinkButton {
  element;

  /**
   * @param {import('./toasts.js').Toasts} toasts
   * @param {import('../sdk/protocol.js').Role} role whose button it is
   */
  constructor(toasts, role) {
    const link = linkFor(role);
    const copy = async () => {
      try {
        await navigator.clipboard.writeText(link);
        toasts.show(t('link.copied'));
      } catch {
        // Without the permission the link is shown, to be copied by hand, for as long as that takes.
        prompt(t('link.copy'), link);
      }
    };
    this.element = h('button', { type: 'button', class: 'button link-button', 'aria-label': t('link.copy'), title: t('link.copy'), onclick: copy },
      icon('link'), h('span', {}, t('link.copy')));
  }
}
