import { Emitter } from './emitter.js';

/**
 * @typedef {import('./call.js').Call} Call
 * @typedef {import('./protocol.js').HostAction} HostAction
 */

/**
 * The host's powers in a room, and the peers in its lobby.
 *
 * @extends {Emitter<{change: void, knock: {id: string, name: string}}>}
 */
export class HostPowers extends Emitter {
  /** @type {Map<string, string>} names of those in the lobby, by id */
  waiting = new Map();
  #call;

  /** @param {Call} call */
  constructor(call) {
    super();
    this.#call = call;
    call.on('event', (event) => this.#event(event));
    for (const event of /** @type {const} */ (['room', 'self'])) call.on(event, () => this.emit('change', undefined));
  }

  /** Whether this client is a host. */
  get isHost() {
    return this.#call.self?.host ?? false;
  }

  /**
   * @param {HostAction} action
   * @param {{peer?: string, value?: any}} [about]
   * @returns {Promise<void>} rejected with a `RefusedError` if the server refuses
   */
  use(action, about = {}) {
    return this.#call.session.send({ type: 'host', action, ...about });
  }

  /** @param {import('./protocol.js').ServerMessage} event */
  #event(event) {
    if (event.type === 'lobby' && event.peer && event.name) {
      this.waiting.set(event.peer, event.name);
      this.emit('knock', { id: event.peer, name: event.name });
    } else if (event.type === 'peer-joined') this.waiting.delete(event.peer.id);
    else if (event.type === 'peer-left') this.waiting.delete(event.peer);
    else return;
    this.emit('change', undefined);
  }
}
