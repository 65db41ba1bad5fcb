import { SocketTransport } from './socket.js';

/** The subprotocol of version 1 of the wire protocol. */
export const SUBPROTOCOL = 'visavis.v1';

/** One WebSocket; each frame is one message. */
export class WebSocketTransport extends SocketTransport {
  /**
   * @param {URL} base
   * @param {import('./transport.js').Listener} listener
   */
  constructor(base, listener) {
    super(new URL('api/v1/ws', base), [SUBPROTOCOL], listener);
  }
}
