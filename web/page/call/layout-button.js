import { iconButton, nameButton } from '../widgets/buttons.js';
import { t } from '../base/i18n.js';
import { icon } from '../widgets/icons.js';
import { preferences, remember } from '../storage/preferences.js';

/** Switches between a grid of equal tiles and one large picture of the active speaker. */
export class LayoutButton {
  element;
  #changed;

  /** @param {() => void} changed */
  constructor(changed) {
    this.#changed = changed;
    this.element = iconButton('grid', 'layout.grid', () => this.#toggle(), 'plain');
    this.#render();
  }

  #toggle() {
    remember({ layout: preferences.layout === 'grid' ? 'speaker' : 'grid' });
    this.#render();
    this.#changed();
  }

  #render() {
    const next = preferences.layout === 'grid' ? 'speaker' : 'grid';
    this.element.replaceChildren(icon(next));
    nameButton(this.element, t(`layout.${next}`));
  }
}
