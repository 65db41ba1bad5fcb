import { Emitter } from './emitter.js';

/**
 * @typedef {import('./call.js').Call} Call
 * @typedef {import('./protocol.js').Message<'call'>} CallMoved
 * @typedef {import('./transport/messages.js').Call} CallStep
 *
 * @typedef {object} OneToOne
 * @property {string} call its id
 * @property {CallMoved['state']} state
 * @property {string} peer the other side
 * @property {boolean} incoming
 * @property {CallMoved['reason']} [reason] why it ended
 */

/**
 * One-to-one calls in a room, one at a time.
 *
 * @extends {Emitter<{change: OneToOne}>}
 */
export class Ringing extends Emitter {
  /** @type {OneToOne | null} the call that is going on */
  current = null;
  #call;
  #reported = false;

  /** @param {Call} call */
  constructor(call) {
    super();
    this.#call = call;
    call.on('event', (event) => {
      if (event.type === 'call') this.#moved(event);
    });
    call.on('media', () => this.#report());
    call.on('ended', () => (this.current = null));
  }

  /** @param {string} peer */
  ring(peer) {
    return this.#send({ action: 'ring', to: peer });
  }

  accept() {
    return this.#act('accept');
  }

  decline() {
    return this.#act('decline');
  }

  /** Ends the call in any state. */
  hangUp() {
    if (!this.current) return Promise.resolve();
    const { state, incoming } = this.current;
    return this.#act(state !== 'ringing' ? 'hangup' : incoming ? 'decline' : 'cancel');
  }

  /** @param {CallStep['action']} action */
  #act(action) {
    return this.current ? this.#send({ action, call: this.current.call }) : Promise.resolve();
  }

  /** @param {CallStep} step */
  #send(step) {
    return this.#call.session.send({ type: 'call', ...step });
  }

  /** @param {CallMoved} event */
  #moved({ call, state, from, to, reason }) {
    const incoming = to === this.#call.self?.id;
    const record = { call, state, peer: incoming ? from : to, incoming, reason };
    // The server refuses a second caller; events about other calls are ignored.
    if (this.current && this.current.call !== call && state !== 'ringing' && state !== 'connecting') return;
    if (this.current?.call !== call) this.#reported = false;
    this.current = state === 'ended' ? null : record;
    this.emit('change', record);
    this.#report();
  }

  /** Both sides tell the server that media flows. */
  #report() {
    if (this.current?.state !== 'connecting' || this.#reported) return;
    if (!this.#call.isConnected(this.current.peer)) return;
    this.#reported = true;
    void this.#act('connected').catch(() => {});
  }
}
