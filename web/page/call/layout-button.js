import { iconButton, nameButton } from '../widgets/buttons.js';
import { t } from '../base/i18n.js';
import { icon } from '../widgets/icons.js';
import { preferences, remember } from '../storage/preferences.js';

const LAYOUTS = ['grid', 'speaker'];
/** @type {Set<() => void>} */
const changed = new Set();

/** Chooses between a grid of equal tiles and one large picture of the active speaker. @param {string} layout */
export function setLayout(layout) {
  if (!LAYOUTS.includes(layout)) throw Object.assign(new Error('a layout is `grid` or `speaker`'), { code: 'bad-request' });
  remember({ layout });
  for (const render of changed) render();
}

/** Switches between the layouts. */
export class LayoutButton {
  element;

  /** @param {() => void} onchange the layout is another one */
  constructor(onchange) {
    this.element = iconButton('grid', 'layout.grid', () => setLayout(other()), 'plain');
    this.#render();
    // A page shows one call.
    changed.clear();
    changed.add(onchange).add(() => this.#render());
  }

  #render() {
    this.element.replaceChildren(icon(other()));
    nameButton(this.element, t(`layout.${other()}`));
  }
}

function other() {
  return preferences.layout === 'grid' ? 'speaker' : 'grid';
}
