import { SUBPROTOCOL } from '../protocol.js';

/** Close codes of the protocol's section 6. */
const REPLACED = 4409;

/**
 * One WebSocket, a message a frame.
 *
 * @implements {Transport}
 * @typedef {import('./transport.js').Transport} Transport
 * @typedef {import('./transport.js').Listener} Listener
 * @typedef {import('../protocol.js').ClientMessage} ClientMessage
 */
export class WebSocketTransport {
  #url;
  #listener;
  /** @type {WebSocket | null} */
  #socket = null;
  #done = false;
  #held = false;
  /** Sent when the socket opens. @type {ClientMessage | null} */
  #first = null;

  /**
   * @param {URL} base
   * @param {Listener} listener
   */
  constructor(base, listener) {
    this.#url = new URL('api/v1/ws', base);
    this.#url.protocol = base.protocol === 'https:' ? 'wss:' : 'ws:';
    this.#listener = listener;
  }

  /** @param {ClientMessage} first */
  open(first) {
    const socket = new WebSocket(this.#url, [SUBPROTOCOL]);
    this.#socket = socket;
    this.#first = first;
    socket.onopen = () => this.#begin();
    socket.onmessage = (message) => {
      if (!this.#done) this.#listener.event(JSON.parse(message.data));
    };
    socket.onclose = (close) => this.#ended(close.code === REPLACED);
  }

  /** @param {boolean} held */
  hold(held) {
    this.#held = held;
    if (!held) this.#begin();
    return this.#first !== null;
  }

  /** @param {ClientMessage} message */
  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** @param {ClientMessage} leave */
  leave(leave) {
    // A socket that is not open yet would still join.
    if (this.#socket?.readyState !== WebSocket.OPEN) return this.close();
    this.send(leave);
    this.#done = true;
  }

  close() {
    this.#done = true;
    this.#socket?.close();
  }

  #begin() {
    if (this.#held || !this.#first || this.#socket?.readyState !== WebSocket.OPEN) return;
    this.send(this.#first);
    this.#first = null;
  }

  /** @param {boolean} replaced */
  #ended(replaced) {
    if (this.#done) return;
    this.#done = true;
    this.#listener.closed({ replaced });
  }
}
