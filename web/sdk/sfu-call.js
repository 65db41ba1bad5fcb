import { DataSaving } from './data-saving.js';
import { SMALLEST } from './layers.js';
import { SfuPublisher } from './sfu-publisher.js';
import { SfuSubscriber } from './sfu-subscriber.js';
import { fill } from './transceivers.js';

/**
 * @typedef {import('./outgoing-media.js').OutgoingMedia} OutgoingMedia
 * @typedef {import('./protocol.js').ClientMessage} ClientMessage
 * @typedef {import('./protocol.js').Peer} Peer
 * @typedef {import('./protocol.js').SignalBody} SignalBody
 * @typedef {import('./transceivers.js').RemoteStreams} RemoteStreams
 * @typedef {{width: number, height: number}} Size
 * @typedef {{enabled: boolean, maxWidth?: number, maxHeight?: number}} Wish what is asked for of a track
 *
 * @typedef {object} SfuCallOptions
 * @property {OutgoingMedia} media
 * @property {DataSaving} [saving]
 * @property {boolean} publishes a viewer sends nothing
 * @property {boolean} layers the server accepts several sizes of a camera's picture
 * @property {() => boolean} isRecorded
 * @property {() => RTCIceServer[]} iceServers
 * @property {(id: string) => Peer | undefined} peer
 * @property {() => Peer[]} peers the others
 * @property {(message: ClientMessage) => void} send
 * @property {(peer: string) => void} changed the streams or the state of a peer's media
 * @property {() => void} troubled a connection is interrupted
 */

/** The sources of pictures. @type {('camera' | 'screen')[]} */
const SOURCES = ['camera', 'screen'];

/** Media through the server: one connection for what we send, one for what we receive. */
export class SfuCall {
  /** @type {SfuPublisher | null} */
  #publisher = null;
  #subscriber;
  /** @type {Map<string, RemoteStreams>} */
  #streams = new Map();
  #options;
  #saving;
  #removers;
  /** @type {Map<string, Wish>} what was last asked for, by track */
  #attention = new Map();
  /** @type {Set<string>} peers whose sound is wanted whoever is louder */
  #preferred = new Set();
  /** @type {Set<string>} tracks for which that was asked */
  #prioritised = new Set();
  /** @type {Map<string, Size>} how large a picture is shown, by peer and source */
  #sizes = new Map();

  /** @param {SfuCallOptions} options */
  constructor(options) {
    this.#options = options;
    this.#saving = options.saving ?? new DataSaving();
    const { iceServers, publishes, troubled, media } = options;
    const send = (/** @type {ClientMessage} */ message) => options.send(message);
    const changed = () => this.#changed();
    this.setPublishing(publishes);
    this.#subscriber = new SfuSubscriber({ iceServers, send, changed, troubled });
    this.#removers = [
      media.on('change', () => this.#publisher?.update()),
      this.#saving.on('change', () => {
        this.#publisher?.save();
        for (const { id } of options.peers()) this.#askAll(id);
      }),
    ];
  }

  /** Starts or stops sending; receiving continues. @param {boolean} on */
  setPublishing(on) {
    if (on === (this.#publisher !== null)) return;
    const { media, layers, isRecorded, iceServers, send, troubled } = this.#options;
    this.#publisher?.close();
    this.#publisher = on ? new SfuPublisher({ media, saving: this.#saving, layers, isRecorded, iceServers, send, changed: () => this.#changed(), troubled }) : null;
  }

  /** The server's offers contain every peer, so there is nothing to do. @param {string} id */
  add(id) {
    this.#options.changed(id);
  }

  /** @param {string} id */
  remove(id) {
    this.#streams.delete(id);
    this.#preferred.delete(id);
    for (const source of SOURCES) this.#sizes.delete(`${id} ${source}`);
  }

  /**
   * @param {string} _from always `sfu`
   * @param {SignalBody} body
   */
  signal(_from, body) {
    if (body.pc === 'publish') this.#publisher?.receive(body);
    else if (body.pc === 'subscribe') this.#subscriber.receive(body);
  }

  /** @param {string[]} active the layers of the camera that somebody watches */
  setLayers(active) {
    this.#publisher?.setLayers(active);
  }

  /** Events were lost, or the server was restarted. */
  repair() {
    this.#attention.clear();
    this.#prioritised.clear();
    this.#publisher?.repair();
    this.#subscriber.repair();
  }

  /** @param {boolean} moved */
  recover(moved) {
    this.#publisher?.recover(moved);
    this.#subscriber.recover(moved);
  }

  /** The server may prefer other codecs now. */
  renegotiate() {
    this.#publisher?.renegotiate();
  }

  /** The published tracks of others have changed, and with them perhaps which one is the screen. */
  refresh() {
    this.#changed();
  }

  /**
   * Requests a peer's picture in the size in which it is shown.
   *
   * @param {string} id
   * @param {'camera' | 'screen'} source
   * @param {Size} size in device pixels; zero for not at all
   */
  attend(id, source, size) {
    this.#sizes.set(`${id} ${source}`, size);
    this.#ask(id, source);
  }

  /**
   * Asks for the sound of a peer whoever is louder, or no longer.
   *
   * @param {string} id
   * @param {boolean} on
   */
  prefer(id, on) {
    if (on === this.#preferred.has(id)) return;
    if (on) this.#preferred.add(id);
    else this.#preferred.delete(id);
    this.#askSound(id);
  }

  /**
   * What was last asked for.
   *
   * @param {string} id
   * @param {'camera' | 'screen'} source
   */
  asked(id, source) {
    return this.#attention.get(this.#published(id, source) ?? '') ?? null;
  }

  /** @param {string} id */
  #askAll(id) {
    for (const source of SOURCES) this.#ask(id, source);
    this.#askSound(id);
  }

  /** @param {string} id */
  #askSound(id) {
    const on = this.#preferred.has(id);
    const track = this.#options.peer(id)?.tracks.find(({ source }) => source === 'microphone')?.track;
    if (track === undefined || on === this.#prioritised.has(track) || !this.tracks(id).some((known) => known.track === track)) return;
    if (on) this.#prioritised.add(track);
    else this.#prioritised.delete(track);
    this.#options.send({ type: 'subscribe', track, priority: on ? 1 : 0 });
  }

  /** @param {string} id @param {'camera' | 'screen'} source */
  #ask(id, source) {
    const track = this.#published(id, source);
    if (track === undefined || !this.tracks(id).some((known) => known.track === track)) return;
    const asked = this.#attention.get(track);
    const wanted = wish(this.#sizes.get(`${id} ${source}`), this.#saving.wants(id), source);
    // What nobody has said anything about is sent in any size.
    if (!asked && wanted.enabled && wanted.maxWidth === undefined) return;
    if (JSON.stringify(asked) === JSON.stringify(wanted)) return;
    this.#attention.set(track, wanted);
    this.#options.send({ type: 'subscribe', track, ...wanted });
  }

  /** @param {string} id @param {'camera' | 'screen'} source */
  #published(id, source) {
    return this.#options.peer(id)?.tracks.find((track) => track.source === source && track.kind === 'video')?.track;
  }

  /** Whether this client's media flows, and that of every peer that sends. */
  get isReady() {
    if (this.#publisher && !this.#publisher.isConnected) return false;
    const sending = this.#options.peers().filter(({ microphone, camera, screen }) => microphone || camera || screen);
    const arriving = new Set(this.#subscriber.subscriptions.map(({ peer }) => peer));
    return sending.length === 0 || (this.#subscriber.isConnected && sending.every(({ id }) => arriving.has(id)));
  }

  /** @param {string} id */
  isConnected(id) {
    return this.#subscriber.isConnected && this.#streams.has(id);
  }

  /**
   * @param {string} id
   * @returns {RemoteStreams | undefined}
   */
  streams(id) {
    return this.#streams.get(id);
  }

  /** The two peer connections, for statistics. @returns {Map<string, RTCPeerConnection>} */
  connections() {
    /** @type {Map<string, RTCPeerConnection>} */
    const connections = new Map();
    if (this.#publisher) connections.set('publish', this.#publisher.connection);
    if (this.#subscriber.connection) connections.set('subscribe', this.#subscriber.connection);
    return connections;
  }

  /** The received tracks of a peer. @param {string} id */
  tracks(id) {
    return this.#subscriber.subscriptions.filter(({ peer }) => peer === id);
  }

  close() {
    for (const remove of this.#removers) remove();
    this.#publisher?.close();
    this.#subscriber.close();
    this.#streams.clear();
  }

  #changed() {
    const peers = new Set([...this.#streams.keys(), ...this.#subscriber.subscriptions.map(({ peer }) => peer)]);
    for (const id of peers) {
      const sources = new Map(this.#options.peer(id)?.tracks.map(({ track, source }) => [track, source]));
      const tracks = this.tracks(id);
      const isScreen = (/** @type {string} */ track) => sources.get(track)?.startsWith('screen') ?? false;
      const streams = this.#streams.get(id) ?? { main: new MediaStream(), screen: null };
      this.#streams.set(id, streams);
      fill(streams.main, tracks.filter(({ track }) => !isScreen(track)).map(({ receiver }) => receiver));
      const screen = tracks.filter(({ track }) => isScreen(track)).map(({ receiver }) => receiver);
      if (screen.length === 0) streams.screen = null;
      else fill((streams.screen ??= new MediaStream()), screen);
      this.#askAll(id);
      this.#options.changed(id);
    }
    this.#options.changed('');
  }
}

/**
 * @param {Size | undefined} size in which it is shown, if that is known
 * @param {'all' | 'low' | 'none'} wanted
 * @param {'camera' | 'screen'} source
 * @returns {Wish}
 */
function wish(size, wanted, source) {
  if (wanted === 'none' || size?.width === 0 || size?.height === 0) return { enabled: false };
  // A screen has one size, in which it can be read.
  const most = wanted === 'low' && source === 'camera' ? SMALLEST : Infinity;
  if (!size) return most === Infinity ? { enabled: true } : { enabled: true, maxWidth: most, maxHeight: most };
  // Resizing a window must not send a message for every pixel.
  return { enabled: true, maxWidth: Math.min(most, stepUp(size.width)), maxHeight: Math.min(most, stepUp(size.height)) };
}

/** @param {number} pixels */
function stepUp(pixels) {
  return Math.ceil(pixels / 160) * 160;
}
