import { remembered } from './evidence.js';
import { Steps } from './steps.js';
import { withStereo } from './stereo.js';
import { originOf } from './transceivers.js';

/**
 * @typedef {import('./protocol.js').ClientMessage} ClientMessage
 * @typedef {import('./protocol.js').SignalBody} SignalBody
 *
 * @typedef {object} Subscription
 * @property {string} track the server's id of the track
 * @property {string} peer the publisher
 * @property {MediaStreamTrack} receiver
 */

const DISCONNECTED_MS = 3000;
const STUCK_MS = 12_000;

/** What we receive from the media server: it offers, we answer. */
export class SfuSubscriber {
  /** @type {RTCPeerConnection | null} */
  connection = null;
  /** @type {Subscription[]} */
  subscriptions = [];
  #send;
  #changed;
  #troubled;
  #iceServers;
  #steps = new Steps('subscribing', () => this.#restart());
  #negotiation = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watch;

  /**
   * @param {object} options
   * @param {() => RTCIceServer[]} options.iceServers
   * @param {(message: ClientMessage) => void} options.send
   * @param {() => void} options.changed
   * @param {() => void} options.troubled the connection is interrupted
   */
  constructor({ iceServers, send, changed, troubled }) {
    this.#iceServers = iceServers;
    this.#send = send;
    this.#changed = changed;
    this.#troubled = troubled;
  }

  get isConnected() {
    return this.connection?.connectionState === 'connected';
  }

  /** @param {SignalBody} body */
  receive(body) {
    this.#steps.add(() => this.#offered(body));
  }

  /** Asks for an offer with new ICE credentials, unless media flows. */
  repair() {
    if (!this.isConnected) this.#restart();
  }

  /**
   * The server can be reached: a path that is interrupted is replaced by a new one.
   *
   * @param {boolean} moved the network has changed
   */
  recover(moved) {
    const state = this.connection?.connectionState;
    if (state === 'disconnected' || state === 'failed' || (moved && state === 'connected')) this.#restart();
  }

  close() {
    this.#steps.close();
    clearTimeout(this.#watch);
    this.#detach();
  }

  /** @param {SignalBody} body */
  async #offered({ description, negotiation, tracks }) {
    if (description?.type !== 'offer') return;
    const known = this.connection?.currentRemoteDescription;
    const anew = known && originOf(known) !== originOf(description);
    if (!anew && negotiation !== undefined && negotiation < this.#negotiation) return;
    if (anew) this.#detach();
    const connection = (this.connection ??= this.#connect());
    this.#negotiation = negotiation ?? 0;
    await connection.setRemoteDescription(description);
    await this.#answer(connection, description.sdp ?? '');
    this.#send({ type: 'signal', to: 'sfu', pc: 'subscribe', description: connection.localDescription ?? undefined, negotiation });
    const receivers = new Map(connection.getTransceivers().map(({ mid, receiver }) => [mid, receiver.track]));
    this.subscriptions = (tracks ?? []).flatMap(({ mid, track, peer }) => {
      const receiver = receivers.get(mid);
      return receiver ? [{ track, peer, receiver }] : [];
    });
    this.#changed();
  }

  /** @param {RTCPeerConnection} connection @param {string} offer */
  async #answer(connection, offer) {
    if (!/[ ;](sprop-)?stereo=1/.test(offer)) return connection.setLocalDescription();
    const { sdp = '' } = await connection.createAnswer();
    // Some browsers accept only their own description, unedited.
    await connection.setLocalDescription({ type: 'answer', sdp: withStereo(sdp, offer) })
      .catch(() => connection.setLocalDescription());
  }

  #connect() {
    const connection = remembered(new RTCPeerConnection({ iceServers: this.#iceServers(), bundlePolicy: 'max-bundle' }));
    connection.onicecandidate = ({ candidate }) => {
      this.#send({ type: 'signal', to: 'sfu', pc: 'subscribe', candidate: candidate ? candidate.toJSON() : { candidate: '' } });
    };
    connection.onconnectionstatechange = () => {
      const state = connection.connectionState;
      clearTimeout(this.#watch);
      if (state === 'disconnected' || state === 'failed') this.#troubled();
      if (state === 'disconnected') this.#watchFor(DISCONNECTED_MS);
      else if (state === 'failed') this.#watchFor(0);
      else if (state !== 'connected') this.#watchFor(STUCK_MS);
      this.#changed();
    };
    return connection;
  }

  #detach() {
    if (!this.connection) return;
    this.connection.onicecandidate = this.connection.onconnectionstatechange = null;
    this.connection.close();
    this.connection = null;
    this.subscriptions = [];
    this.#negotiation = 0;
  }

  /** @param {number} afterMs */
  #watchFor(afterMs) {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => {
      if (this.#steps.isClosed || this.isConnected) return;
      this.#watchFor(STUCK_MS);
      this.#restart();
    }, afterMs);
  }

  #restart() {
    this.#send({ type: 'signal', to: 'sfu', pc: 'subscribe', restart: true });
  }
}
