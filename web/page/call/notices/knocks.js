import { textButton } from '../../widgets/buttons.js';
import { chime } from './chime.js';
import { h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';

/** At most this many knocks have a row of their own; the people panel lists all. */
const LINES = 2;

/** The peers in the lobby, each with Admit and Deny, until they are admitted, denied or leave. */
export class Knocks {
  element = h('ul', { class: 'knocks', 'aria-label': t('lobby.waiting'), hidden: true });
  #host;
  #attempt;
  #more;
  #moved;
  #shown = true;

  /**
   * @param {import('../../../sdk/index.js').HostPowers} host
   * @param {object} options
   * @param {(action: Promise<void>) => void} options.attempt tells the user when it fails
   * @param {() => void} options.more shows all waiting peers
   * @param {() => void} options.moved controls have moved on the screen
   */
  constructor(host, { attempt, more, moved }) {
    this.#host = host;
    this.#attempt = attempt;
    this.#more = more;
    this.#moved = moved;
    host.on('change', () => this.#render());
    host.on('knock', () => chime('knock'));
  }

  /** Whether they are shown here; the people panel shows them while it is open. @param {boolean} on */
  set shown(on) {
    this.#shown = on;
    this.#render();
  }

  #render() {
    const waiting = this.#shown && this.#host.isHost ? [...this.#host.waiting] : [];
    const before = this.element.textContent;
    const lines = waiting.slice(0, LINES).map(([id, name]) => knock(this.#host, this.#attempt, id, t('lobby.knock', { name }), name));
    const rest = waiting.length - lines.length;
    const more = rest > 0 ? [h('li', { class: 'notice' }, textButton(t('lobby.more', { count: rest }), this.#more))] : [];
    const content = [...lines, ...more];
    if (content.map(({ textContent }) => textContent).join('') === before) return;
    this.element.replaceChildren(...content);
    this.element.hidden = waiting.length === 0;
    this.#moved();
  }
}

/**
 * A waiting peer, with Admit and Deny.
 *
 * @param {import('../../../sdk/index.js').HostPowers} host
 * @param {(action: Promise<void>) => void} attempt
 * @param {string} id
 * @param {string} text
 * @param {string} name
 */
export function knock(host, attempt, id, text, name) {
  const admit = textButton(t('lobby.admit'), () => attempt(host.use('admit', { peer: id })), 'primary');
  const deny = textButton(t('lobby.deny'), () => attempt(host.use('deny', { peer: id })));
  admit.setAttribute('aria-label', t('lobby.admitNamed', { name }));
  deny.setAttribute('aria-label', t('lobby.denyNamed', { name }));
  return h('li', { class: 'notice' }, h('span', { class: 'notice-text' }, text), h('div', { class: 'notice-actions' }, admit, deny));
}
