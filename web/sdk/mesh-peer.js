import { remembered } from './evidence.js';
import { smallestOf } from './layers.js';
import { MeshTransceivers } from './mesh-transceivers.js';
import { Steps } from './steps.js';
import { originOf, SMALL, SMALL_MS } from './transceivers.js';

/**
 * @typedef {import('./outgoing-media.js').OutgoingMedia} OutgoingMedia
 * @typedef {import('./protocol.js').SignalBody} SignalBody
 * @typedef {import('./transceivers.js').RemoteStreams} RemoteStreams
 *
 * @typedef {object} MeshPeerOptions
 * @property {boolean} polite gives way when two offers cross
 * @property {boolean} offers makes the first offer
 * @property {OutgoingMedia} media what to send
 * @property {() => RTCIceServer[]} iceServers
 * @property {() => boolean} wantsPictures whether pictures are to be received
 * @property {() => boolean} isSmall whether only the smallest picture is to be sent
 * @property {() => number} videoBitrate bits per second at most for the camera
 * @property {(body: SignalBody) => void} send
 * @property {() => void} changed the streams or the connection's state have changed
 * @property {() => void} troubled the connection is interrupted
 * @property {() => void} failed neither the first path nor new ones carry media
 */

/** A path that recovers by itself does so within this time, in milliseconds. */
const DISCONNECTED_MS = 3000;
/** A connection that is not established within this time, in milliseconds, is retried, and again after as long. */
const STUCK_MS = 12_000;
/** The pair is given up after this many failed paths. */
const ATTEMPTS = 2;

/**
 * The connection to one other peer: perfect negotiation, trickled candidates, and new ICE credentials when the path fails.
 */
export class MeshPeer {
  /** @type {RemoteStreams} */
  streams = { main: new MediaStream(), screen: null };
  /** @type {RTCPeerConnection} */
  connection;
  /** @type {MeshTransceivers} */
  #transceivers;
  #options;
  #steps = new Steps('negotiation');
  #ignoring = false;
  /** The first pictures are sent scaled down. */
  #small = true;
  /** @type {RTCIceCandidateInit[]} */
  #early = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watch;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #enlarging;
  /** Failed paths since the last one that worked. */
  #vain = 0;

  /** @param {MeshPeerOptions} options */
  constructor(options) {
    this.#options = options;
    this.connection = this.#connect();
    this.#transceivers = this.#opening();
    if (!options.offers) return;
    this.#transceivers.open();
    // The offer does not wait for `negotiationneeded`, since no media flows before it.
    this.#steps.add(() => this.#offer());
  }

  get isConnected() {
    return ['connected', 'completed'].includes(this.connection.iceConnectionState);
  }

  /**
   * Handles a signal of the other side. Signals are handled in order: a candidate must not overtake its description.
   *
   * @param {SignalBody} body
   */
  receive(body) {
    this.#steps.add(async () => {
      if (body.description?.type === 'offer') await this.#offered(body.description);
      else if (body.description?.type === 'answer') await this.#answered(body.description);
      if (body.candidate) await this.#candidate(body.candidate);
      if (body.restart) this.connection.restartIce();
    });
  }

  /** The local tracks have changed. */
  update() {
    this.#steps.add(() => this.#sendTracks());
  }

  /** Events were lost. A connection that works is left alone; any other is renegotiated. */
  repair() {
    this.#steps.add(async () => {
      const { connection } = this;
      if (connection.signalingState === 'have-local-offer' && connection.localDescription) {
        this.#options.send({ description: connection.localDescription });
      } else if (!this.isConnected) {
        this.#renew();
      }
    });
  }

  /**
   * The server can be reached: a path that is interrupted is replaced by a new one.
   *
   * @param {boolean} moved the network has changed
   */
  recover(moved) {
    this.#steps.add(() => {
      const { connection } = this;
      const interrupted = ['disconnected', 'failed'].includes(connection.iceConnectionState);
      // A path that was never established is still being set up.
      if (interrupted || (moved && this.isConnected)) this.#renew();
    });
  }

  close() {
    this.#steps.close();
    clearTimeout(this.#watch);
    clearTimeout(this.#enlarging);
    this.#detach();
  }

  #connect() {
    const connection = remembered(new RTCPeerConnection({ iceServers: this.#options.iceServers(), bundlePolicy: 'max-bundle' }));
    connection.onnegotiationneeded = () => this.#steps.add(() => this.#offer());
    connection.onicecandidate = ({ candidate }) => {
      this.#options.send({ candidate: candidate ? candidate.toJSON() : { candidate: '' } });
    };
    connection.oniceconnectionstatechange = () => this.#pathChanged();
    connection.ontrack = () => this.#collectStreams();
    this.#watchFor(STUCK_MS);
    return connection;
  }

  #detach() {
    const { connection } = this;
    connection.onnegotiationneeded = connection.onicecandidate = null;
    connection.oniceconnectionstatechange = connection.ontrack = null;
    connection.close();
  }

  /** Replaces a connection that cannot recover. */
  #replace() {
    this.#detach();
    this.#early = [];
    this.#ignoring = false;
    this.connection = this.#connect();
    this.#transceivers = this.#opening();
  }

  #opening() {
    return new MeshTransceivers(this.connection, this.#options.media, this.#options.wantsPictures);
  }

  async #offer() {
    const { connection } = this;
    if (connection.signalingState !== 'stable' || connection.getTransceivers().length === 0) return;
    await connection.setLocalDescription();
    this.#sendDescription();
  }

  /** @param {RTCSessionDescriptionInit} offer */
  async #offered(offer) {
    const known = this.connection.currentRemoteDescription;
    const anew = known !== null && originOf(known) !== originOf(offer);
    const crossing = this.connection.signalingState !== 'stable';
    this.#ignoring = crossing && !anew && !this.#options.polite;
    if (this.#ignoring) return;
    // On a connection that was never established, the transceivers of our own offer would be a second set.
    if (anew || (crossing && known === null)) this.#replace();
    const { connection } = this;
    await connection.setRemoteDescription(offer);
    await this.#transceivers.adopt();
    await connection.setLocalDescription();
    this.#sendDescription();
    await this.#described();
  }

  /** @param {RTCSessionDescriptionInit} answer */
  async #answered(answer) {
    if (this.connection.signalingState !== 'have-local-offer') return;
    await this.connection.setRemoteDescription(answer);
    await this.#described();
  }

  async #described() {
    for (const candidate of this.#early.splice(0)) await this.#candidate(candidate);
    this.#collectStreams();
    await this.#sendTracks();
  }

  /** @param {RTCIceCandidateInit} candidate */
  async #candidate(candidate) {
    if (!this.connection.remoteDescription) return void this.#early.push(candidate);
    try {
      await this.connection.addIceCandidate(candidate.candidate ? candidate : undefined);
    } catch (error) {
      // Candidates of an ignored offer are dropped.
      if (!this.#ignoring) console.warn('candidate:', error);
    }
  }

  #sendDescription() {
    const { localDescription } = this.connection;
    if (localDescription) this.#options.send({ description: localDescription });
  }

  async #sendTracks() {
    const { videoBitrate, isSmall, media } = this.#options;
    const least = isSmall() ? smallestOf(media.camera) : { maxBitrate: Infinity, smaller: 1 };
    this.#transceivers.receive();
    await this.#transceivers.send(Math.min(videoBitrate(), least.maxBitrate), Math.max(this.#small ? SMALL : 1, least.smaller));
  }

  #collectStreams() {
    if (!this.#transceivers.isOpen) return;
    this.#transceivers.collect(this.streams);
    this.#options.changed();
  }

  #pathChanged() {
    const state = this.connection.iceConnectionState;
    clearTimeout(this.#watch);
    if (this.isConnected) {
      this.#vain = 0;
      if (this.#small) this.#enlargeSoon();
    }
    if (state === 'disconnected' || state === 'failed') this.#options.troubled();
    if (state === 'disconnected') this.#watchFor(DISCONNECTED_MS);
    // Both sides notice it; the polite one lets the other restart.
    else if (state === 'failed') this.#watchFor(this.#options.polite ? DISCONNECTED_MS : 0);
    else if (!this.isConnected) this.#watchFor(STUCK_MS);
    this.#options.changed();
  }

  #enlargeSoon() {
    clearTimeout(this.#enlarging);
    this.#enlarging = setTimeout(() => {
      this.#small = false;
      this.update();
    }, SMALL_MS);
  }

  /** @param {number} afterMs */
  #watchFor(afterMs) {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => {
      if (this.#steps.isClosed || this.isConnected) return;
      this.#watchFor(STUCK_MS);
      this.#vain += 1;
      if (this.#vain === ATTEMPTS) this.#options.failed();
      this.repair();
    }, afterMs);
  }

  #renew() {
    const { connection } = this;
    connection.setConfiguration({ ...connection.getConfiguration(), iceServers: this.#options.iceServers() });
    // The other side should have offered and did not.
    if (!this.#transceivers.isOpen) this.#transceivers.open();
    else if (connection.connectionState === 'failed' && connection.iceConnectionState !== 'failed') {
      this.#replace();
      this.#transceivers.open();
    } else connection.restartIce();
  }
}
