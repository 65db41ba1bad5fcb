import { closeDialog, openDialog } from '../widgets/dialog.js';
import { h } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { iconButton } from '../widgets/buttons.js';

/**
 * Shows a link to be copied by hand, where the browser does not let the page copy it.
 *
 * @param {string} link
 */
export function showLink(link) {
  const field = h('input', { class: 'input', readonly: true, value: link, dir: 'ltr', 'aria-label': t('link.field'), onfocus: () => field.select() });
  const share = () => void navigator.share({ url: link }).catch(() => {});
  const element = h('dialog', { class: 'settings link-dialog', 'aria-labelledby': 'link-title', onclose: () => element.remove() },
    h('header', { class: 'panel-header' }, h('h2', { id: 'link-title' }, t('link.title')), iconButton('close', 'settings.close', () => closeDialog(element), 'plain')),
    h('div', { class: 'dialog-body' },
      h('p', {}, t('link.byHand')), field,
      'share' in navigator ? h('button', { type: 'button', class: 'button primary', onclick: share }, t('link.share')) : null));
  document.body.append(element);
  openDialog(element);
  field.focus();
}
