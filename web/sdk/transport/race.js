import { createTransport } from './transport.js';

/** A transport that is not even open by then gets company, and one that has brought no answer after as long again is given up. */
const BESIDE_MS = 2000;

/**
 * Several transports, of which the first to be answered is used. The next begins when one fails, or is taking too long:
 * a WebSocket that a proxy swallows is not waited for. One `join` or `resume` is under way at a time, since a second one
 * would replace the first.
 *
 * @typedef {import('./transport.js').Transport} Transport
 * @typedef {import('./transport.js').Listener} Listener
 * @typedef {import('./transport.js').TransportEnd} TransportEnd
 * @typedef {import('./messages.js').ClientMessage} ClientMessage
 * @typedef {import('./messages.js').ServerMessage} ServerMessage
 * @typedef {import('./transport.js').TransportName} TransportName
 */
export class Race {
  /** The transport that was answered. @type {TransportName | null} */
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

  /** Starts the next transport, or lets one speak that was held back. */
  #begin() {
    clearTimeout(this.#timer);
    const name = this.#left.shift();
    const [held] = this.#running.values();
    if (!name) return held ? void held.hold(false) : this.#over();
    /** @type {Transport} */
    const transport = createTransport(name, this.#base, {
      event: (event) => this.#event(name, transport, event),
      closed: (end) => this.#closed(name, transport, end),
    });
    this.#running.set(name, transport);
    if (this.#left.length > 0) this.#timer = setTimeout(() => this.#beside(transport), BESIDE_MS);
    try {
      transport.open(/** @type {ClientMessage} */ (this.#first));
    } catch {
      // A browser without this transport, or one that forbids it.
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
    // One that is held back, or is still to come, has its turn.
    this.#begin();
  }

  #over() {
    this.#finish();
    this.#listener.closed(this.#end);
  }
}
