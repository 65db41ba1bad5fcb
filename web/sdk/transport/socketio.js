/** Packet types of Engine.IO 4, the framing below Socket.IO 5. */
const ENGINE = { open: '0', close: '1', ping: '2', pong: '3', message: '4' };
/** Packet types of Socket.IO 5 that occur without binary attachments. */
const SOCKET = { connect: '0', disconnect: '1', event: '2', ack: '3', connectError: '4' };

/**
 * The Socket.IO wire over one WebSocket: namespace `/`, every message an event named `message`.
 *
 * @implements {Transport}
 * @typedef {import('./transport.js').Transport} Transport
 * @typedef {import('./transport.js').Listener} Listener
 * @typedef {import('../protocol.js').ClientMessage} ClientMessage
 */
export class SocketIoTransport {
  #url;
  #listener;
  /** @type {WebSocket | null} */
  #socket = null;
  #connected = false;
  #held = false;
  /** Sent when the namespace is connected. @type {ClientMessage | null} */
  #first = null;
  #done = false;

  /**
   * @param {URL} base
   * @param {Listener} listener
   */
  constructor(base, listener) {
    this.#url = new URL('socket.io/?EIO=4&transport=websocket', base);
    this.#url.protocol = base.protocol === 'https:' ? 'wss:' : 'ws:';
    this.#listener = listener;
  }

  /** @param {ClientMessage} first */
  open(first) {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#first = first;
    socket.onmessage = (message) => {
      if (!this.#done) this.#packet(String(message.data));
    };
    socket.onclose = () => this.#ended(false);
  }

  /** @param {boolean} held */
  hold(held) {
    this.#held = held;
    if (!held) this.#begin();
    return this.#first !== null;
  }

  /** @param {ClientMessage} message */
  send(message) {
    if (this.#connected) this.#write(ENGINE.message + SOCKET.event + JSON.stringify(['message', message]));
  }

  /** @param {ClientMessage} leave */
  leave(leave) {
    // A socket that is not connected yet would still join.
    if (!this.#connected) return this.close();
    this.send(leave);
    this.#done = true;
  }

  close() {
    this.#done = true;
    this.#socket?.close();
  }

  #begin() {
    if (this.#held || !this.#first || !this.#connected) return;
    this.send(this.#first);
    this.#first = null;
  }

  /** @param {string} packet */
  #packet(packet) {
    const body = packet.slice(1);
    switch (packet[0]) {
      case ENGINE.open:
        return this.#write(ENGINE.message + SOCKET.connect);
      case ENGINE.ping:
        return this.#write(ENGINE.pong + body);
      case ENGINE.close:
        return this.#socket?.close();
      case ENGINE.message:
        return this.#socketPacket(body[0], body.slice(1));
    }
  }

  /**
   * @param {string | undefined} type
   * @param {string} body
   */
  #socketPacket(type, body) {
    if (type === SOCKET.connect) {
      this.#connected = true;
      this.#begin();
    } else if (type === SOCKET.event) {
      const start = body.indexOf('[');
      const [name, event] = JSON.parse(body.slice(start));
      if (name !== 'message') return;
      this.#listener.event(event);
      if (event.type === 'error' && event.code === 'session-replaced') this.#ended(true);
    } else if (type === SOCKET.disconnect || type === SOCKET.connectError) {
      this.#socket?.close();
    }
  }

  /** @param {string} packet */
  #write(packet) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(packet);
  }

  /** @param {boolean} replaced */
  #ended(replaced) {
    if (this.#done) return;
    this.#done = true;
    this.#socket?.close();
    this.#listener.closed({ replaced });
  }
}
