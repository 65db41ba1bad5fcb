import { MeshCall } from './mesh-call.js';
import { SfuCall } from './sfu-call.js';

/**
 * @typedef {import('./outgoing-media.js').OutgoingMedia} OutgoingMedia
 * @typedef {import('./transceivers.js').RemoteStreams} RemoteStreams
 * @typedef {import('./protocol.js').ClientMessage} ClientMessage
 * @typedef {import('./protocol.js').Peer} Peer
 * @typedef {import('./protocol.js').SignalBody} SignalBody
 * @typedef {import('./protocol.js').Topology} Topology
 *
 * @typedef {object} Path
 * @property {Topology} topology
 * @property {number} epoch
 * @property {MeshCall | SfuCall} call
 *
 * @typedef {object} MediaPathOptions
 * @property {Peer} self
 * @property {OutgoingMedia} media
 * @property {import('./data-saving.js').DataSaving} [saving]
 * @property {boolean} layers the media server accepts several sizes of a camera's picture
 * @property {boolean} moves the room's media may move from one media server to another
 * @property {() => boolean} isRecorded whether the room is recorded
 * @property {() => RTCIceServer[]} iceServers those for the media server
 * @property {() => RTCIceServer[]} [peerIceServers] those for connections to other peers, if they are others
 * @property {(id: string) => Peer | undefined} peer
 * @property {() => Peer[]} peers the others
 * @property {(message: ClientMessage) => void} send
 * @property {(peer: string) => void} changed the streams or the state of a peer's media
 * @property {() => void} troubled a connection is interrupted
 */

/**
 * The path of media: peer to peer, through a media server, or both during the change from one to the other.
 *
 * A path is identified by its topology and its epoch: with a new epoch, media goes through another media server, and
 * the connections to it are built beside those to the former one. Two kinds of paths outlive their epoch, since what
 * they connect stays the same: a mesh, which no server is part of, and the path of a server whose media never moves.
 */
export class MediaPath {
  #options;
  /** @type {Path} */
  #current;
  /** @type {Path | null} being built while the current one carries media */
  #next = null;
  /** @type {Path | null} the path that was reported as ready */
  #reported = null;

  /**
   * @param {Topology} topology
   * @param {number} epoch
   * @param {MediaPathOptions} options
   */
  constructor(topology, epoch, options) {
    this.#options = options;
    this.#current = this.#open(topology, epoch);
  }

  get topology() {
    return this.#current.topology;
  }

  /**
   * @param {string} id
   * @param {boolean} newcomer the peer joined after this client
   */
  add(id, newcomer) {
    this.#current.call.add(id, newcomer);
    this.#next?.call.add(id, newcomer);
  }

  /** @param {string} id */
  remove(id) {
    this.#current.call.remove(id);
    this.#next?.call.remove(id);
  }

  /**
   * @param {string} from a peer's id, or `sfu`
   * @param {SignalBody} body
   */
  signal(from, body) {
    const topology = from === 'sfu' ? 'sfu' : 'mesh';
    for (const path of [this.#current, this.#next]) {
      if (path?.topology !== topology) continue;
      if (topology === 'sfu' && body.epoch !== undefined && body.epoch !== path.epoch) continue;
      path.call.signal(from, body);
    }
  }

  /** The layers of the camera that somebody watches. @param {string[]} active */
  setLayers(active) {
    for (const path of [this.#current, this.#next]) path?.call.setLayers(active);
  }

  /**
   * The room is changing to another path, which is built beside the present one.
   *
   * @param {Topology} topology
   * @param {number} epoch
   */
  prepare(topology, epoch) {
    if (this.#next?.topology === topology && this.#next.epoch === epoch) return;
    this.#drop();
    if (this.#is(this.#current, topology, epoch)) {
      return void this.#options.send({ type: 'topology', epoch, ready: true });
    }
    this.#next = this.#open(topology, epoch);
    this.#introduce(this.#next);
    this.#report();
  }

  /**
   * The room has this path.
   *
   * @param {Topology} topology
   * @param {number} epoch
   */
  settle(topology, epoch) {
    if (this.#is(this.#current, topology, epoch)) {
      this.#current.epoch = epoch;
      return this.#drop();
    }
    const former = this.#current;
    if (this.#next && this.#is(this.#next, topology, epoch)) {
      this.#current = this.#next;
      this.#current.epoch = epoch;
      this.#next = null;
    } else {
      this.#drop();
      this.#current = this.#open(topology, epoch);
      this.#introduce(this.#current);
    }
    former.call.close();
    for (const { id } of this.#options.peers()) this.#options.changed(id);
  }

  /** Events were lost: connections that no longer work are renegotiated. */
  repair() {
    this.#current.call.repair();
    this.#next?.call.repair();
  }

  /**
   * The server can be reached: interrupted connections are re-established.
   *
   * @param {boolean} moved the network has changed, so that no earlier path can be trusted
   */
  recover(moved) {
    this.#current.call.recover(moved);
    this.#next?.call.recover(moved);
  }

  /** The server may prefer other codecs now, for example because a recording has started. */
  renegotiate() {
    for (const path of [this.#current, this.#next]) {
      if (path?.call instanceof SfuCall) path.call.renegotiate();
    }
  }

  /** This client's role has changed between publishing and viewing. @param {Peer} self */
  become(self) {
    this.#options = { ...this.#options, self };
    for (const path of [this.#current, this.#next]) {
      if (path?.call instanceof SfuCall) path.call.setPublishing(self.role !== 'viewer');
    }
  }

  /** The tracks or the state of other peers have changed. */
  refresh() {
    this.#current.call.refresh();
    this.#next?.call.refresh();
  }

  /** @param {string} id @returns {RemoteStreams | undefined} */
  streams(id) {
    return this.#current.call.streams(id);
  }

  /**
   * @param {string} id
   * @param {'camera' | 'screen'} source
   * @param {{width: number, height: number}} size
   */
  attend(id, source, size) {
    this.#current.call.attend(id, source, size);
  }

  /**
   * Asks for the sound of a peer whoever is louder, or no longer.
   *
   * @param {string} id
   * @param {boolean} on
   */
  prefer(id, on) {
    this.#current.call.prefer(id, on);
  }

  /**
   * What the media server was last asked for; null if nothing, and in a mesh.
   *
   * @param {string} id
   * @param {'camera' | 'screen'} source
   */
  asked(id, source) {
    return this.#current.call instanceof SfuCall ? this.#current.call.asked(id, source) : null;
  }

  /** @param {string} id */
  isConnected(id) {
    return this.#current.call.isConnected(id);
  }

  connections() {
    return this.#current.call.connections();
  }

  close() {
    this.#drop();
    this.#current.call.close();
  }

  #drop() {
    this.#next?.call.close();
    this.#next = null;
  }

  /**
   * @param {Path} path
   * @param {Topology} topology
   * @param {number} epoch
   */
  #is(path, topology, epoch) {
    if (path.topology !== topology) return false;
    return path.epoch === epoch || topology === 'mesh' || !this.#options.moves;
  }

  /**
   * Connects a new path to all peers in the room. None of them is a newcomer: the peer with the lesser id offers.
   *
   * @param {Path} path
   */
  #introduce(path) {
    for (const { id, role } of this.#options.peers()) {
      if (role !== 'viewer') path.call.add(id, this.#options.self.id < id);
    }
  }

  /**
   * @param {Topology} topology
   * @param {number} epoch
   * @returns {Path}
   */
  #open(topology, epoch) {
    const { self, media, saving, layers, moves, isRecorded, iceServers, peerIceServers = iceServers, peer, peers, send, troubled } = this.#options;
    /** @param {ClientMessage} message */
    const sendToSfu = (message) => send(moves && message.type === 'signal' ? { ...message, epoch } : message);
    const changed = (/** @type {string} */ id) => {
      if (id && path?.call === this.#current?.call) this.#options.changed(id);
      this.#report();
    };
    /** @type {Path | undefined} */
    let path;
    const call = topology === 'sfu'
      ? new SfuCall({ media, saving, publishes: self.role !== 'viewer', layers, isRecorded, iceServers, peer, peers, send: sendToSfu, changed, troubled })
      : new MeshCall({
        self: self.id,
        media,
        saving,
        iceServers: peerIceServers,
        epoch: () => path?.epoch ?? epoch,
        send: (to, body) => send({ type: 'signal', to, ...body }),
        changed,
        troubled,
        // An `auto` room changes to the media server; otherwise the server refuses, and the pair keeps trying.
        failed: () => path?.call === this.#current.call && send({ type: 'topology', epoch: path.epoch, topology: 'sfu' }),
      });
    path = { topology, epoch, call };
    return path;
  }

  /** Reports to the server when media flows on the new path. */
  #report() {
    const next = this.#next;
    if (!next || next === this.#reported || !next.call.isReady) return;
    this.#reported = next;
    this.#options.send({ type: 'topology', epoch: next.epoch, ready: true });
  }
}
