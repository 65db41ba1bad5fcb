import { closeDialog, openDialog } from '../../widgets/dialog.js';
import { h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { iconButton } from '../../widgets/buttons.js';

/**
 * Shows the buttons of a tile that is too small for them, in words.
 *
 * @param {string} name of the tile's person
 * @param {HTMLButtonElement[]} buttons each entry presses its button
 */
export function showTileMenu(name, buttons) {
  const entry = (/** @type {HTMLButtonElement} */ button) => {
    const press = () => {
      closeDialog(element);
      button.click();
    };
    const pressed = button.getAttribute('aria-pressed');
    return h('button', { type: 'button', class: 'button', 'aria-pressed': pressed, onclick: press }, button.getAttribute('aria-label') ?? '');
  };
  const element = h('dialog', { class: 'settings tile-menu', 'aria-labelledby': 'tile-menu-title', onclose: () => element.remove() },
    h('header', { class: 'panel-header' }, h('h2', { id: 'tile-menu-title', dir: 'auto' }, name), iconButton('close', 'settings.close', () => closeDialog(element), 'plain')),
    h('div', { class: 'dialog-body' }, ...buttons.filter((button) => !button.hidden).map(entry)));
  document.body.append(element);
  openDialog(element);
}
