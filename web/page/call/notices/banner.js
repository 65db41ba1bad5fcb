import { h, setText } from '../../base/dom.js';
import { t } from '../../base/i18n.js';

const EVERY_MS = 250;
/**
 * Media through the server may stop together with signaling: for this time, in milliseconds, the banner does not say
 * whether the call continues.
 */
const KNOWN_MS = 1500;

/** Shows that the connection with the server is interrupted, and what that means for the call. */
export class Banner {
  element = h('div', { class: 'banner', role: 'alert', 'data-cause': 'server-unreachable', hidden: true });
  #call;
  #since = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /** @param {import('../../../sdk/index.js').Call} call */
  constructor(call) {
    this.#call = call;
    call.on('state', (state) => {
      clearInterval(this.#timer);
      this.element.hidden = state !== 'reconnecting';
      if (this.element.hidden) return setText(this.element, '');
      this.#since = performance.now();
      this.#timer = setInterval(() => this.#render(), EVERY_MS);
      this.#render();
    });
  }

  #render() {
    setText(this.element, t(this.#key()));
  }

  #key() {
    const others = this.#call.peers.filter(({ role }) => role !== 'viewer');
    const flowing = others.filter(({ id }) => this.#call.isFlowing(id)).length;
    if (others.length === 0) return 'call.reconnectingAlone';
    if (flowing === 0) return 'call.reconnectingPaused';
    const direct = this.#call.room?.topology === 'mesh';
    if (!direct && performance.now() - this.#since < KNOWN_MS) return 'call.reconnectingAlone';
    return flowing < others.length ? 'call.reconnectingSome' : 'call.reconnecting';
  }
}
