import { SocketIoTransport } from './socketio.js';
import { SseTransport } from './sse.js';
import { WebSocketTransport } from './websocket.js';

/** @type {Record<TransportName, new (base: URL, listener: Listener) => Transport>} */
const TRANSPORTS = { websocket: WebSocketTransport, sse: SseTransport, socketio: SocketIoTransport };

/**
 * After this time, in milliseconds, the next transport starts beside one that is not open yet; one that is open but has
 * brought no answer is closed after as long again.
 */
const BESIDE_MS = 2000;

/**
 * Tries several transports and uses the first that receives an answer. The next one starts when the current one fails or
 * takes too long, as a WebSocket does that a proxy swallows. Only one `join` or `resume` is in flight at a time, since a
 * second one would replace the first.
 *
 * @typedef {import('./transport.js').Transport} Transport
 * @typedef {import('./transport.js').Listener} Listener
 * @typedef {import('./transport.js').TransportEnd} TransportEnd
 * @typedef {import('./messages.js').ClientMessage} ClientMessage
 * @typedef {import('./messages.js').ServerMessage} ServerMessage
 * @typedef {import('./transport.js').TransportName} TransportName
 */
export class Race {
  /** The transport that received an answer. @type {TransportName | null} */
  winner = null;
  #base;
  #listener;
  /** @type {TransportName[]} */
  #left;
  /** @type {Map<TransportName, Transport>} */
  #running = new Map();
  /** @type {ClientMessage | null} */
  #first = null;
  /** @type {TransportEnd} */
  #end = { replaced: false };
  #done = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {TransportName[]} names in order of preference
   * @param {URL} base
   * @param {Listener} listener
   */
  constructor(names, base, listener) {
    this.#left = [...names];
    this.#base = base;
    this.#listener = listener;
  }

  /** @param {ClientMessage} first */
  open(first) {
    this.#first = first;
    this.#begin();
  }

  /** @param {ClientMessage} message */
  send(message) {
    this.#answered?.send(message);
  }

  /** @param {ClientMessage} leave */
  leave(leave) {
    for (const transport of this.#running.values()) transport.leave(leave);
    this.#finish();
  }

  close() {
    for (const transport of this.#running.values()) transport.close();
    this.#finish();
  }

  get #answered() {
    return this.winner === null ? undefined : this.#running.get(this.winner);
  }

  #finish() {
    clearTimeout(this.#timer);
    this.#done = true;
    this.#running.clear();
  }

  /** Starts the next transport, or releases the one that was held back. */
  #begin() {
    clearTimeout(this.#timer);
    const name = this.#left.shift();
    const [held] = this.#running.values();
    if (!name) return held ? void held.hold(false) : this.#over();
    /** @type {Transport} */
    const transport = new TRANSPORTS[name](this.#base, {
      event: (event) => this.#event(name, transport, event),
      closed: (end) => this.#closed(name, transport, end),
    });
    this.#running.set(name, transport);
    if (this.#left.length > 0) this.#timer = setTimeout(() => this.#beside(transport), BESIDE_MS);
    try {
      transport.open(/** @type {ClientMessage} */ (this.#first));
    } catch {
      // The browser lacks this transport or forbids it.
      this.#closed(name, transport, { replaced: false });
    }
  }

  /** @param {Transport} slow */
  #beside(slow) {
    if (slow.hold(true)) return this.#begin();
    this.#timer = setTimeout(() => {
      slow.close();
      for (const [name, transport] of this.#running) if (transport === slow) this.#running.delete(name);
      this.#begin();
    }, BESIDE_MS);
  }

  /**
   * @param {TransportName} name
   * @param {Transport} transport
   * @param {ServerMessage} event
   */
  #event(name, transport, event) {
    if (this.#done || this.#running.get(name) !== transport) return;
    if (this.winner === null) this.#won(name);
    this.#listener.event(event);
  }

  /** @param {TransportName} name */
  #won(name) {
    clearTimeout(this.#timer);
    this.winner = name;
    this.#left = [];
    for (const [other, transport] of this.#running) {
      if (other === name) continue;
      this.#running.delete(other);
      transport.close();
    }
  }

  /**
   * @param {TransportName} name
   * @param {Transport} transport
   * @param {TransportEnd} end
   */
  #closed(name, transport, end) {
    if (this.#done || this.#running.get(name) !== transport) return;
    this.#running.delete(name);
    this.#end = end;
    if (this.winner !== null || end.replaced) return this.#over();
    // A transport that was held back, or the next one, takes its place.
    this.#begin();
  }

  #over() {
    this.#finish();
    this.#listener.closed(this.#end);
  }
}
