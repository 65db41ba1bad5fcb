import { SocketTransport } from './socket.js';

/** Packet types of Engine.IO 4, the framing below Socket.IO 5. */
const ENGINE = { open: '0', close: '1', ping: '2', pong: '3', message: '4' };
/** Packet types of Socket.IO 5 that occur without binary attachments. */
const SOCKET = { connect: '0', disconnect: '1', event: '2', ack: '3', connectError: '4' };

/** Socket.IO over one WebSocket: namespace `/`, each message an event named `message`. */
export class SocketIoTransport extends SocketTransport {
  /** Whether the namespace is connected. */
  #connected = false;

  /**
   * @param {URL} base
   * @param {import('./transport.js').Listener} listener
   */
  constructor(base, listener) {
    super(new URL('socket.io/?EIO=4&transport=websocket', base), [], listener);
  }

  /** @override */
  get isReady() {
    return this.#connected;
  }

  /** @override @param {import('./messages.js').ClientMessage} message */
  send(message) {
    if (this.isReady) this.write(ENGINE.message + SOCKET.event + JSON.stringify(['message', message]));
  }

  /** @override @param {string} packet */
  receive(packet) {
    const body = packet.slice(1);
    switch (packet[0]) {
      case ENGINE.open:
        return this.write(ENGINE.message + SOCKET.connect);
      case ENGINE.ping:
        return this.write(ENGINE.pong + body);
      case ENGINE.close:
        return this.socket?.close();
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
      this.begin();
    } else if (type === SOCKET.event) {
      const start = body.indexOf('[');
      const [name, event] = JSON.parse(body.slice(start));
      if (name !== 'message') return;
      this.listener.event(event);
      if (event.type === 'error' && event.code === 'session-replaced') this.end(true);
    } else if (type === SOCKET.disconnect || type === SOCKET.connectError) {
      this.socket?.close();
    }
  }
}
