import { DataSaving } from './data-saving.js';
import { Diagnosis } from './diagnosis.js';
import { Emitter } from './emitter.js';
import { FlowWatch } from './flow-watch.js';
import { IceServers } from './ice-servers.js';
import { LocalMedia } from './local-media.js';
import { MediaPath } from './media-path.js';
import { NetworkWatch } from './network-watch.js';
import { OutgoingMedia } from './outgoing-media.js';
import { isOvertaken } from './overtaken.js';
import { PictureReports } from './picture-reports.js';
import { Roster } from './roster.js';
import { SendingLimits } from './sending-limits.js';
import { SERVER_ADDRESS } from './server-address.js';
import { Session } from './session.js';

/**
 * @typedef {import('./transceivers.js').RemoteStreams} RemoteStreams
 * @typedef {import('./protocol.js').JoinOptions} JoinOptions
 * @typedef {import('./protocol.js').Peer} Peer
 * @typedef {import('./protocol.js').Room} Room
 * @typedef {import('./protocol.js').ServerMessage} ServerMessage
 * @typedef {import('./protocol.js').Topology} Topology
 * @typedef {import('./protocol.js').TransportName} TransportName
 * @typedef {import('./protocol.js').Welcome} Welcome
 * @typedef {import('./session.js').SessionState} SessionState
 *
 * @typedef {import('./protocol.js').Message<'chat'>} ChatLine
 * @typedef {import('./protocol.js').Message<'app'>} AppData
 * @typedef {import('./protocol.js').Message<'caption'>} Caption
 *
 * @typedef {object} CallEvents
 * @property {SessionState} state of the session
 * @property {Room} room
 * @property {Peer} joined
 * @property {{peer: Peer, reason: string}} left `missed`: while this client was not in the room
 * @property {Peer} updated
 * @property {string} media a peer's streams or connection changed
 * @property {ChatLine} chat has the same `id` if it is delivered again
 * @property {Caption} caption what is said, from a program that recognises speech
 * @property {AppData} data what another peer has sent with `sendData`
 * @property {{from: string, emoji: string}} reaction
 * @property {ServerMessage} event every server message, before this class handles it
 * @property {{peer: string, cause: import('./cause.js').Cause | null}} cause why nothing comes from a peer, or, with the
 *   own id, why nothing is sent; null once it works
 * @property {void} self own state changed
 * @property {{reason: string}} ended
 */

/**
 * A call: a session with the server, the current state of the room, and the media connections to the other peers.
 *
 * @extends {Emitter<CallEvents>}
 */
export class Call extends Emitter {
  /** @type {Room | null} */
  room = null;
  /** @type {Peer | null} */
  self = null;
  /** @type {string | null} */
  hostToken = null;
  /** Whether the client is in the lobby. */
  waiting = false;
  hand = false;
  /** The features that the server supports. @type {string[]} */
  features = [];
  /** @type {LocalMedia} */
  media;
  /** @type {Session} */
  session;
  #roster = new Roster((id) => this.#left(id, 'timeout'));
  /** @type {MediaPath | null} */
  #path = null;
  #outgoing;
  #holdsRecorded;
  #iceServers = new IceServers(() => this.session.iceServers());
  #resumeWindowMs = 30_000;
  #network = new NetworkWatch(() => this.session.hurry());
  /** @type {Diagnosis} */
  #diagnosis;
  #flow = new FlowWatch(() => this.connections().values(), () => this.session.hurry());
  /** What the user wants to spend on pictures. */
  saving = new DataSaving();
  #reports = new PictureReports();
  #limits = new SendingLimits({
    connections: () => this.connections(),
    tracks: () => this.#outgoing,
    saves: () => this.saving.isSmall(),
    send: (topic, data, to) => void this.sendData(topic, data, to).catch(() => {}),
  });

  /**
   * @param {object} [options]
   * @param {URL | string} [options.base] the server's address; by default where this SDK was loaded from
   * @param {TransportName[]} [options.transports] in order of preference
   * @param {LocalMedia} [options.media] what to send
   * @param {boolean} [options.holdsRecorded] nothing is sent to a room that is recorded before `consent()`, also where the
   *   server does not ask for consent
   */
  constructor({ base = SERVER_ADDRESS, transports = ['websocket', 'sse'], media = new LocalMedia(), holdsRecorded = false } = {}) {
    super();
    this.media = media;
    this.#outgoing = new OutgoingMedia(media);
    this.#holdsRecorded = holdsRecorded;
    this.session = new Session({ base, transports });
    this.session.on('state', (state) => {
      if (state === 'reconnecting') this.#diagnosis.serverLost();
      this.emit('state', state);
    });
    this.session.on('welcome', (welcome) => this.#welcome(welcome));
    this.session.on('event', (event) => this.#event(event));
    // An ICE restart needs the server, so it happens as soon as the server can be reached again.
    this.session.on('verified', ({ moved }) => this.#path?.recover(moved));
    this.session.on('tokenrefused', () => {
      this.hostToken = null;
    });
    this.session.on('ended', ({ reason }) => this.#ended(reason));
    this.#diagnosis = new Diagnosis({
      base: () => new URL(base, location.href),
      server: () => this.session.state === 'connected',
      connections: () => this.connections(),
      peers: () => this.#roster.peers,
      isFlowing: (connection) => this.#flow.isFlowing(connection),
      wantsPictures: (id) => this.saving.wants(id) !== 'none',
      picture: (id) => this.picture(id, 'camera').report,
      reach: () => this.session.mediaPath(),
      report: (cause) => void this.session.report(cause).catch(() => {}),
      changed: (key, cause) => this.emit('cause', { peer: key === 'publish' ? this.self?.id ?? '' : key, cause }),
    });
    media.on('problem', () => this.#diagnosis.devices(media.problems));
    media.on('change', () => this.#announce());
    this.saving.on('level', () => this.#tellSaving());
  }

  /** Whether nothing is sent, since the room is recorded and the user has not consented. */
  get held() {
    return this.#outgoing.held;
  }

  /** Consents to being recorded in this call: what was held back is sent. */
  consent() {
    if (this.#outgoing.consent()) this.#announce();
  }

  /** @returns {Peer[]} the others, in order of joining */
  get peers() {
    return this.#roster.peers;
  }

  /** @param {string} id */
  peer(id) {
    return id === this.self?.id ? this.self : this.#roster.peer(id);
  }

  /**
   * @param {JoinOptions} options
   * @returns {Promise<Welcome>} rejected with a `RefusedError` if the server refuses
   */
  join(options) {
    this.#network.start();
    this.#flow.start();
    this.#diagnosis.start();
    this.#limits.start();
    this.#diagnosis.devices(this.media.problems);
    return this.session.start(options);
  }

  /** @param {string} text @param {string} [to] */
  chat(text, to) {
    return this.session.send({ type: 'chat', text, ...(to ? { to } : {}) });
  }

  /** @param {string} emoji */
  react(emoji) {
    return this.session.send({ type: 'reaction', emoji });
  }

  /**
   * Sends any JSON to the other peers, or to one of them; they get it as `data`.
   *
   * @param {string} topic 1 to 64 characters that say what it is about
   * @param {any} data
   * @param {string} [to]
   */
  sendData(topic, data, to) {
    return this.session.send({ type: 'app', topic, data, ...(to ? { to } : {}) });
  }

  /** @param {boolean} up */
  raiseHand(up) {
    this.hand = up;
    this.#announce();
  }

  /**
   * The streams of another peer: microphone and camera, and screen.
   *
   * @param {string} id
   * @returns {RemoteStreams | undefined}
   */
  streams(id) {
    return this.#path?.streams(id);
  }

  /**
   * Tells the media server the size at which a peer's picture is shown, so that it sends no larger one.
   *
   * @param {string} id
   * @param {'camera' | 'screen'} source
   * @param {{width: number, height: number}} size in device pixels; zero for not at all
   */
  attend(id, source, size) {
    this.#path?.attend(id, source, size);
  }

  /**
   * Asks for the sound of a peer whoever is louder, or no longer: in large rooms the media server sends that of the loudest.
   *
   * @param {string} id
   * @param {boolean} on
   */
  prefer(id, on) {
    this.#path?.prefer(id, on);
  }

  /**
   * What is known of a peer's picture besides the picture itself.
   *
   * @param {string} id
   * @param {'camera' | 'screen'} source
   */
  picture(id, source) {
    const track = this.peer(id)?.tracks.find((track) => track.kind === 'video' && track.source === source)?.track;
    const asked = this.#path?.asked(id, source) ?? null;
    return { asked, report: this.#reports.of(id, track), limit: this.#limits.of(id, source) };
  }

  /** Whether the connection that carries this peer's media is established. @param {string} id */
  isConnected(id) {
    return this.#path?.isConnected(id) ?? false;
  }

  /** Why nothing comes from a peer, or, for the own id, why nothing is sent. @param {string} id */
  cause(id) {
    return this.#diagnosis.cause(id === this.self?.id ? 'publish' : id);
  }

  /** Whether media of this peer arrives now; true if the peer sends none. @param {string} id */
  isFlowing(id) {
    const connections = this.connections();
    const connection = connections.get(id) ?? connections.get('subscribe');
    if (!connection || !this.isConnected(id)) return false;
    const { microphone = false, camera = false, screen = false } = this.peer(id) ?? {};
    const pictures = (camera || screen) && this.saving.wants(id) !== 'none';
    return !(microphone || pictures) || this.#flow.isFlowing(connection);
  }

  /**
   * The peer connections by peer, or `publish` and `subscribe` with the media server, for statistics.
   *
   * @returns {Map<string, RTCPeerConnection>}
   */
  connections() {
    return this.#path?.connections() ?? new Map();
  }

  /**
   * Leaves for good and releases the devices, also from the lobby.
   *
   * @param {{mayReturn?: boolean}} [options] `mayReturn`: the page is closed or reloaded, and host power is held
   */
  leave(options) {
    this.session.leave(options);
    this.media.close();
  }

  /** @param {Welcome} welcome */
  #welcome(welcome) {
    const same = this.self?.id === welcome.self.id;
    this.self = welcome.self;
    this.room = welcome.room;
    this.waiting = welcome.state === 'waiting';
    this.features = welcome.features;
    this.hostToken = welcome.hostToken ?? this.hostToken;
    if (welcome.iceServers) this.#iceServers.set(welcome.iceServers, welcome.peerIceServers, welcome.ttlSeconds);
    this.#resumeWindowMs = welcome.resumeWindowMs;
    if (this.waiting) return this.emit('room', welcome.room);
    if (!same) this.#startAnew(welcome.peers ?? []);
    this.#hold(!same && this.#holdsRecorded);
    const { topology, epoch } = welcome.room;
    // After a resume, the events that follow tell each change since; the path being built is still needed.
    if (!welcome.resumed) this.#path?.settle(topology, epoch);
    this.#path ??= this.#openPath(welcome.self, welcome.room);
    this.emit('room', welcome.room);
    for (const peer of welcome.peers ?? []) this.#joined(peer, false);
    if (!same && this.saving.isSmall()) this.#tellSaving();
    this.#announce();
  }

  /** @param {Peer} self @param {Room} room */
  #openPath(self, { topology, epoch }) {
    return new MediaPath(topology, epoch, {
      self,
      media: this.#outgoing,
      saving: this.saving,
      layers: this.features.includes('simulcast'),
      moves: this.features.includes('media-moves'),
      isRecorded: () => this.room?.recording ?? false,
      iceServers: () => this.#iceServers.list,
      peerIceServers: () => this.#iceServers.forPeers,
      peer: (id) => this.#roster.peer(id),
      peers: () => this.#roster.peers,
      send: (message) => void this.session.send(message).catch((error) => {
        if (this.session.state !== 'ended' && !isOvertaken(message, error, this.room)) console.warn(`${message.type}:`, error);
      }),
      changed: (id) => this.emit('media', id),
      troubled: () => this.session.hurry(),
    });
  }

  /** @param {ServerMessage} event */
  #event(event) {
    this.emit('event', event);
    switch (event.type) {
      case 'snapshot':
        return this.#snapshot(event);
      case 'peer-joined':
        return this.#joined(event.peer, true);
      case 'peer-updated':
        return this.#updated(event.peer);
      case 'peer-left':
        if (event.peer === this.self?.id) return this.session.close(event.reason);
        return this.#left(event.peer, event.reason);
      case 'signal':
        return this.#path?.signal(event.from, event);
      case 'room-updated':
        this.room = event.room;
        this.#hold();
        return this.emit('room', event.room);
      case 'topology':
        return this.#topology(event.topology, event.epoch, event.state);
      case 'tracks':
        return this.#tracks(event.peer, event.tracks);
      case 'broadcaster-connected':
      case 'broadcaster-disconnected':
        return this.#live(event.peer, event.type === 'broadcaster-connected');
      case 'room-ended':
        return this.session.close(event.reason);
      case 'chat':
        return this.emit('chat', event);
      case 'app':
        return this.#app(event);
      case 'caption':
        return this.emit('caption', event);
      case 'reaction':
        return this.emit('reaction', event);
      case 'recording':
        return this.#recording(event);
      case 'quality':
        return this.#reports.heard(event);
      case 'layers':
        return this.#path?.setLayers(event.active);
      case 'muted':
        return void this.media.setMicrophone(false);
    }
  }

  /**
   * @param {Topology} topology
   * @param {number} epoch
   * @param {string} state
   */
  #topology(topology, epoch, state) {
    if (state === 'switching') return this.#path?.prepare(topology, epoch);
    this.#forgetPictures();
    if (this.room) this.room = { ...this.room, topology, epoch };
    this.#path?.settle(topology, epoch);
    if (this.room) this.emit('room', this.room);
  }

  /** @param {import('./protocol.js').Message<'recording'>} event concerns the peer's file if it has a `peer`, else the room */
  #recording({ state, peer }) {
    if (peer || !this.room) return;
    this.room = { ...this.room, recording: state === 'starting' || state === 'active' };
    this.#hold();
    if (state === 'active') this.#path?.renegotiate();
    this.emit('room', this.room);
  }

  /** @param {string} id @param {import('./protocol.js').Track[]} tracks */
  #tracks(id, tracks) {
    const peer = this.#roster.peer(id);
    if (!peer) return;
    this.#roster.put({ ...peer, tracks });
    this.#path?.refresh();
  }

  /** @param {string} id @param {boolean} live */
  #live(id, live) {
    if (this.self?.id === id) {
      this.self = { ...this.self, live };
      return this.emit('self', undefined);
    }
    const peer = this.#roster.peer(id);
    if (!peer) return;
    this.#roster.put({ ...peer, live });
    this.emit('updated', { ...peer, live });
  }

  /** @param {import('./protocol.js').Message<'snapshot'>} snapshot */
  #snapshot({ room, peers }) {
    this.room = room;
    this.#hold();
    this.#path?.settle(room.topology, room.epoch);
    this.emit('room', room);
    for (const peer of peers) {
      if (this.#roster.peer(peer.id)) this.#updated(peer);
      // The order of joining is no longer known; negotiation resolves offers that cross.
      else this.#joined(peer, true);
    }
    this.#roster.snapshot(peers, this.#resumeWindowMs);
    this.#path?.repair();
    this.#forgetPictures();
    this.#announce();
  }

  /**
   * @param {Peer} peer
   * @param {boolean} newcomer joined after this client, which therefore offers
   */
  #joined(peer, newcomer) {
    if (peer.id === this.self?.id) return;
    const known = this.#roster.peer(peer.id) !== undefined;
    this.#roster.put(peer);
    this.emit(known ? 'updated' : 'joined', peer);
    if (!known && newcomer) {
      this.#limits.joined(peer.id);
      if (this.saving.isSmall()) this.#tellSaving(peer.id);
    }
    if (peer.role !== 'viewer') this.#path?.add(peer.id, newcomer);
  }

  /** @param {Peer} peer */
  #updated(peer) {
    if (peer.id === this.self?.id) return this.#updatedSelf(peer);
    this.#roster.put(peer);
    this.emit('updated', peer);
    this.#path?.refresh();
  }

  /** @param {Peer} peer */
  #updatedSelf(peer) {
    this.self = peer;
    this.#path?.become(peer);
    this.emit('self', undefined);
  }

  /** @param {string} id @param {string} reason */
  #left(id, reason) {
    const peer = this.#roster.peer(id);
    this.#roster.remove(id);
    this.#path?.remove(id);
    this.#limits.left(id);
    this.saving.left(id);
    if (peer) this.emit('left', { peer, reason });
  }

  /**
   * Holds back all media in a recorded room until the user consents, or releases it.
   *
   * @param {boolean} [asks] also where the server does not ask for consent
   */
  #hold(asks = this.held) {
    const recording = this.room?.recording ?? false;
    const held = recording && (asks || this.features.includes('recording-consent'));
    if (this.#outgoing.hold(held)) this.#announce();
  }

  /** Tells the other peers which devices are on. */
  #announce() {
    this.emit('self', undefined);
    if (!this.self || this.waiting || this.session.state !== 'connected') return;
    const state = { ...this.#outgoing.state, hand: this.hand };
    const known = /** @type {Record<string, any>} */ (this.self);
    if (Object.entries(state).every(([key, value]) => known[key] === value)) return;
    this.self = { ...this.self, ...state };
    void this.session.send({ type: 'update', ...state }).catch(() => {});
  }

  /** Starts as a new peer of the room, or ends: only peers that are no longer listed have left. @param {Peer[]} peers */
  #startAnew(peers) {
    this.#closePath();
    for (const peer of this.#roster.retain(peers)) this.emit('left', { peer, reason: 'missed' });
  }

  /** Tells all other peers, or one, whether small pictures are wanted. @param {string} [to] */
  #tellSaving(to) {
    const { topic, data } = this.saving.message;
    if (this.self && !this.waiting && this.self.role !== 'viewer') void this.sendData(topic, data, to).catch(() => {});
  }

  /** @param {AppData} event */
  #app(event) {
    if (!event.topic.startsWith('visavis.')) return this.emit('data', event);
    if (!this.#roster.peer(event.from)) return;
    this.#limits.heard(event);
    this.saving.heard(event);
  }

  /** Media takes another path, or begins anew. */
  #forgetPictures() {
    this.#reports.clear();
    this.#limits.clear();
  }

  #closePath() {
    this.#forgetPictures();
    this.#path?.close();
    this.#path = null;
  }

  /** @param {string} reason */
  #ended(reason) {
    this.#startAnew([]);
    this.#iceServers.close();
    this.#network.stop();
    this.#flow.stop();
    this.#diagnosis.stop();
    this.#limits.stop();
    // After a refused join the user may try again and still needs the preview.
    if (this.self) this.media.close();
    this.emit('ended', { reason });
  }
}
