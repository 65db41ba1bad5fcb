import { SERVER_ADDRESS } from './server-address.js';

/**
 * @typedef {object} Entry how the user gets in
 * @property {string} name
 * @property {string} [token]
 * @property {string} [password]
 *
 * @typedef {object} Answer what a command is waiting for
 * @property {(result: any) => void} resolve
 * @property {(error: Error) => void} reject
 */

/** What the call in the frame may use of the browser. */
const ALLOW = ['camera', 'microphone', 'display-capture', 'autoplay', 'fullscreen', 'picture-in-picture', 'screen-wake-lock', 'speaker-selection', 'clipboard-write'];
/** Attributes that are part of the address of the page in the frame. */
const SWITCHES = ['header', 'chat', 'role', 'topology'];
/** The events of a call that the element emits under the same names. */
const EVENTS = new Set(['ready', 'state', 'joined', 'updated', 'left', 'self', 'ended', 'problem']);

/**
 * A call in a frame: `<visavis-call room="lesson" name="Ada"></visavis-call>`. With `name` it joins by itself, with the devices off;
 * otherwise the user sees the screen before the call. The server must list the page's origin in `--frame-ancestors`.
 */
export class VisavisCall extends (globalThis.HTMLElement ?? class {}) {
  #frame = /** @type {HTMLIFrameElement | null} */ (null);
  #server = SERVER_ADDRESS;
  #ready = false;
  /** Commands that wait for the page in the frame. @type {object[]} */
  #queue = [];
  /** @type {Map<number, Answer>} */
  #asked = new Map();
  #ids = 0;
  #listener = (/** @type {MessageEvent} */ message) => this.#message(message);

  connectedCallback() {
    const room = this.getAttribute('room') ?? '';
    this.#server = new URL(this.getAttribute('server') ?? SERVER_ADDRESS);
    const address = new URL(`r/${encodeURIComponent(room)}`, this.#server);
    for (const name of SWITCHES) {
      const value = this.getAttribute(name);
      if (value) address.searchParams.set(name, value);
    }
    if (this.#entry) address.searchParams.set('prejoin', 'off');
    else if (this.getAttribute('token')) address.hash = new URLSearchParams({ token: this.getAttribute('token') ?? '' }).toString();
    const frame = document.createElement('iframe');
    frame.allow = ALLOW.map((feature) => `${feature} ${this.#server.origin}`).join('; ');
    frame.title = this.getAttribute('title') ?? room;
    Object.assign(frame.style, { display: 'block', width: '100%', height: '100%', border: '0' });
    frame.src = address.href;
    if (!this.style.display) this.style.display = 'block';
    addEventListener('message', this.#listener);
    this.#frame = frame;
    (this.shadowRoot ?? this.attachShadow({ mode: 'open' })).replaceChildren(frame);
  }

  disconnectedCallback() {
    removeEventListener('message', this.#listener);
    this.#frame?.remove();
    this.#frame = null;
    this.#ready = false;
    this.#queue = [];
    for (const { reject } of this.#asked.values()) reject(new Error('the element was removed'));
    this.#asked.clear();
  }

  /** Enters the room, with the devices off. @param {Entry} entry @returns {Promise<void>} */
  join(entry) {
    return this.#command('join', entry);
  }

  /** @returns {Promise<void>} */
  leave() {
    return this.#command('leave');
  }

  /** Mutes the microphone. Only the user can unmute it. @returns {Promise<void>} */
  mute() {
    return this.#command('mute');
  }

  /** @param {'grid' | 'speaker'} layout @returns {Promise<void>} */
  setLayout(layout) {
    return this.#command('layout', { layout });
  }

  /** @returns {Promise<Pick<import('./protocol.js').Peer, 'id' | 'name' | 'role' | 'host' | 'microphone' | 'camera' | 'screen' | 'hand'>[]>} the own peer first */
  who() {
    return this.#command('who');
  }

  /** @returns {Entry | null} */
  get #entry() {
    const [name, token, password] = ['name', 'token', 'password'].map((attribute) => this.getAttribute(attribute) ?? undefined);
    return name ? { name, token, password } : null;
  }

  /** @param {string} command @param {object} [value] @returns {Promise<any>} */
  #command(command, value) {
    if (!this.#frame) return Promise.reject(new Error('the element is in no document'));
    const id = ++this.#ids;
    const message = { to: 'visavis', command, value, id };
    if (this.#ready) this.#post(message);
    else this.#queue.push(message);
    return new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }));
  }

  /** @param {object} message */
  #post(message) {
    this.#frame?.contentWindow?.postMessage(message, this.#server.origin);
  }

  /** @param {MessageEvent} message */
  #message({ source, origin, data }) {
    if (!this.#frame || source !== this.#frame.contentWindow || origin !== this.#server.origin || data?.from !== 'visavis') return;
    if (data.event === undefined) return this.#answered(data);
    if (data.event === 'ready') this.#begin();
    if (EVENTS.has(data.event)) this.dispatchEvent(new CustomEvent(data.event, { detail: data.detail }));
  }

  /** The page in the frame listens: for the first time, or after it was reloaded. */
  #begin() {
    this.#ready = true;
    for (const message of this.#queue.splice(0)) this.#post(message);
    const entry = this.#entry;
    if (entry) this.join(entry).catch((refusal) => this.dispatchEvent(new CustomEvent('refused', { detail: { code: refusal.code, message: refusal.message } })));
  }

  /** @param {{answers: number, result?: unknown, error?: {code: string, message: string}}} answer */
  #answered({ answers, result, error }) {
    const asked = this.#asked.get(answers);
    this.#asked.delete(answers);
    if (error) asked?.reject(Object.assign(new Error(error.message), { code: error.code }));
    else asked?.resolve(result);
  }
}

globalThis.customElements?.define('visavis-call', VisavisCall);
