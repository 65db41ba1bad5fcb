import { DataSaving } from './data-saving.js';
import { MeshPeer } from './mesh-peer.js';

/**
 * @typedef {import('./outgoing-media.js').OutgoingMedia} OutgoingMedia
 * @typedef {import('./transceivers.js').RemoteStreams} RemoteStreams
 * @typedef {import('./protocol.js').Peer} Peer
 * @typedef {import('./protocol.js').SignalBody} SignalBody
 *
 * @typedef {object} MeshCallOptions
 * @property {string} self our own peer id
 * @property {OutgoingMedia} media
 * @property {DataSaving} [saving]
 * @property {() => RTCIceServer[]} iceServers
 * @property {() => number} epoch of the room's topology
 * @property {(to: string, body: SignalBody) => void} send
 * @property {(peer: string) => void} changed the streams or the state of a peer's connection
 * @property {() => void} failed a pair cannot connect
 * @property {() => void} troubled a connection is interrupted
 */

/** Bits per second for the camera, divided among the connections that carry it. */
const UPLOAD_BITRATE = 2_400_000;
const LEAST_BITRATE = 250_000;

/** Media from peer to peer: a connection to each other peer. */
export class MeshCall {
  /** @type {Map<string, MeshPeer>} */
  #peers = new Map();
  #options;
  #saving;
  #removers;

  /** @param {MeshCallOptions} options */
  constructor(options) {
    this.#options = options;
    this.#saving = options.saving ?? new DataSaving();
    const update = () => this.#update();
    this.#removers = [options.media.on('change', update), this.#saving.on('change', update)];
  }

  /**
   * Connects to a peer. Peers that are already in the room offer to a newcomer.
   *
   * @param {string} id
   * @param {boolean} offers whether this side makes the first offer
   */
  add(id, offers) {
    const known = this.#peers.get(id);
    // The peer or the server was away: what still works is kept.
    if (known) return known.repair();
    const { self, media, iceServers, epoch, send, changed, failed, troubled } = this.#options;
    const peer = new MeshPeer({
      offers,
      polite: self > id,
      media,
      iceServers,
      wantsPictures: () => this.#saving.wants(id) !== 'none',
      isSmall: () => this.#saving.isSmall(id),
      videoBitrate: () => Math.max(LEAST_BITRATE, UPLOAD_BITRATE / (this.#peers.size || 1)),
      send: (body) => send(id, { ...body, epoch: epoch() }),
      changed: () => changed(id),
      failed,
      troubled,
    });
    this.#peers.set(id, peer);
    this.#update();
  }

  /** @param {string} id */
  remove(id) {
    this.#peers.get(id)?.close();
    if (this.#peers.delete(id)) this.#update();
  }

  /**
   * @param {string} from
   * @param {SignalBody} body
   */
  signal(from, body) {
    if (body.epoch !== undefined && body.epoch !== this.#options.epoch()) return;
    if (!this.#peers.has(from)) this.add(from, false);
    this.#peers.get(from)?.receive(body);
  }

  /** @param {boolean} moved */
  recover(moved) {
    for (const peer of this.#peers.values()) peer.recover(moved);
  }

  /** Events were lost: connections that are not established are renegotiated. */
  repair() {
    for (const peer of this.#peers.values()) peer.repair();
  }

  /**
   * @param {string} id
   * @returns {RemoteStreams | undefined}
   */
  streams(id) {
    return this.#peers.get(id)?.streams;
  }

  /** @param {string} id */
  isConnected(id) {
    return this.#peers.get(id)?.isConnected ?? false;
  }

  /** Whether every connection is established. */
  get isReady() {
    return [...this.#peers.values()].every(({ isConnected }) => isConnected);
  }

  /** In a mesh no size is chosen, so there is nothing to do. @param {...any} _about */
  attend(..._about) {}

  /** In a mesh everybody is heard, so there is nothing to do. @param {...any} _about */
  prefer(..._about) {}

  /** Layers are for the media server. @param {string[]} _active */
  setLayers(_active) {}

  /** In a mesh the m-lines determine the purpose of each track, so there is nothing to do. */
  refresh() {}

  /** The peer connections by peer, for statistics. */
  connections() {
    return new Map([...this.#peers].map(([id, { connection }]) => [id, connection]));
  }

  close() {
    for (const remove of this.#removers) remove();
    for (const peer of this.#peers.values()) peer.close();
    this.#peers.clear();
  }

  #update() {
    for (const peer of this.#peers.values()) peer.update();
  }
}
