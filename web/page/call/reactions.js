import { h } from '../base/dom.js';

const SHOWN_MS = 4000;

/** Shows the emoji of reactions as they float up over the stage. */
export class Reactions {
  element = h('div', { class: 'reactions', 'aria-hidden': 'true' });

  /** @param {import('../../sdk/index.js').Call} call */
  constructor(call) {
    call.on('reaction', ({ from, emoji }) => {
      const name = call.peer(from)?.name ?? '';
      const floating = h('div', { class: 'reaction' }, h('span', {}, emoji), h('small', { dir: 'auto' }, name));
      floating.style.insetInlineStart = `${10 + Math.random() * 70}%`;
      this.element.append(floating);
      setTimeout(() => floating.remove(), SHOWN_MS);
    });
  }
}
