/** The close code that means that another transport has the session. */
const REPLACED = 4409;

/**
 * The common part of the transports over one WebSocket: the first message waits until the connection is ready and not
 * held, and the end is reported once. By default each frame is one message.
 *
 * @implements {Transport}
 * @typedef {import('./transport.js').Transport} Transport
 * @typedef {import('./transport.js').Listener} Listener
 * @typedef {import('./messages.js').ClientMessage} ClientMessage
 */
export class SocketTransport {
  /** @type {WebSocket | null} */
  socket = null;
  listener;
  #url;
  #subprotocols;
  #held = false;
  /** Sent when the connection is ready. @type {ClientMessage | null} */
  #first = null;
  #done = false;

  /**
   * @param {URL} url with the scheme of the page
   * @param {string[]} subprotocols
   * @param {Listener} listener
   */
  constructor(url, subprotocols, listener) {
    this.#url = url;
    this.#url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    this.#subprotocols = subprotocols;
    this.listener = listener;
  }

  /** Whether messages can be sent. */
  get isReady() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  /** @param {ClientMessage} first */
  open(first) {
    const socket = new WebSocket(this.#url, this.#subprotocols);
    this.socket = socket;
    this.#first = first;
    socket.onopen = () => this.begin();
    socket.onmessage = ({ data }) => {
      if (!this.#done) this.receive(String(data));
    };
    socket.onclose = ({ code }) => this.end(code === REPLACED);
  }

  /** @param {boolean} held */
  hold(held) {
    this.#held = held;
    if (!held) this.begin();
    return this.#first !== null;
  }

  /** @param {ClientMessage} leave */
  leave(leave) {
    // A connection that is not ready yet would still send its join.
    if (!this.isReady) return this.close();
    this.send(leave);
    this.#done = true;
  }

  close() {
    this.#done = true;
    this.socket?.close();
  }

  /** Sends the first message if nothing holds it back. */
  begin() {
    if (this.#held || !this.#first || !this.isReady) return;
    this.send(this.#first);
    this.#first = null;
  }

  /** @param {boolean} replaced another transport of the session took over */
  end(replaced) {
    if (this.#done) return;
    this.#done = true;
    this.socket?.close();
    this.listener.closed({ replaced });
  }

  /** @param {string} frame */
  write(frame) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(frame);
  }

  /** @param {ClientMessage} message */
  send(message) {
    this.write(JSON.stringify(message));
  }

  /** @param {string} frame of the server */
  receive(frame) {
    this.listener.event(JSON.parse(frame));
  }
}
