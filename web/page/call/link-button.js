import { h } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { icon } from '../widgets/icons.js';
import { showLink } from './link-dialog.js';
import { linkFor } from '../room/room-link.js';

/** Copies the room's link. */
export class LinkButton {
  element;

  /**
   * @param {import('./notices/toasts.js').Toasts} toasts
   * @param {import('../../sdk/protocol.js').Role} role of the user
   */
  constructor(toasts, role) {
    const link = linkFor(role);
    const copy = async () => {
      try {
        await navigator.clipboard.writeText(link);
        toasts.show(t('link.copied'));
      } catch {
        showLink(link);
      }
    };
    this.element = h('button', { type: 'button', class: 'button link-button', 'aria-label': t('link.copy'), title: t('link.copy'), onclick: copy },
      icon('link'), h('span', {}, t('link.copy')));
  }
}
