import { SfuPublisher } from './sfu-publisher.js';
import { SfuSubscriber } from './sfu-subscriber.js';
import { fill } from './transceivers.js';

/**
 * @typedef {import('./outgoing-media.js').OutgoingMedia} OutgoingMedia
 * @typedef {import('./protocol.js').ClientMessage} ClientMessage
 * @typedef {import('./protocol.js').Peer} Peer
 * @typedef {import('./protocol.js').SignalBody} SignalBody
 * @typedef {import('./transceivers.js').RemoteStreams} RemoteStreams
 *
 * @typedef {object} SfuCallOptions
 * @property {OutgoingMedia} media
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

/** Media through the server: one connection for what we send, one for what we receive. */
export class SfuCall {
  /** @type {SfuPublisher | null} */
  #publisher = null;
  #subscriber;
  /** @type {Map<string, RemoteStreams>} */
  #streams = new Map();
  #options;
  #mediaChanged;
  /** @type {Map<string, string>} what was last asked for, by track */
  #attention = new Map();

  /** @param {SfuCallOptions} options */
  constructor(options) {
    this.#options = options;
    const { iceServers, publishes, troubled, media } = options;
    const send = (/** @type {ClientMessage} */ message) => options.send(message);
    const changed = () => this.#changed();
    this.setPublishing(publishes);
    this.#subscriber = new SfuSubscriber({ iceServers, send, changed, troubled });
    this.#mediaChanged = media.on('change', () => this.#publisher?.update());
  }

  /** Starts or stops sending; receiving continues. @param {boolean} on */
  setPublishing(on) {
    if (on === (this.#publisher !== null)) return;
    const { media, layers, isRecorded, iceServers, send, troubled } = this.#options;
    this.#publisher?.close();
    this.#publisher = on ? new SfuPublisher({ media, layers, isRecorded, iceServers, send, changed: () => this.#changed(), troubled }) : null;
  }

  /** The server's offers contain every peer, so there is nothing to do. @param {string} id */
  add(id) {
    this.#options.changed(id);
  }

  /** @param {string} id */
  remove(id) {
    this.#streams.delete(id);
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
   * @param {{width: number, height: number}} size in device pixels; zero for not at all
   */
  attend(id, source, { width, height }) {
    const published = this.#options.peer(id)?.tracks.find((track) => track.source === source && track.kind === 'video');
    if (!published || !this.tracks(id).some(({ track }) => track === published.track)) return;
    const enabled = width > 0 && height > 0;
    // Resizing a window must not send a message for every pixel.
    const wanted = enabled ? { enabled, maxWidth: stepUp(width), maxHeight: stepUp(height) } : { enabled };
    const asked = JSON.stringify(wanted);
    if (this.#attention.get(published.track) === asked) return;
    this.#attention.set(published.track, asked);
    this.#options.send({ type: 'subscribe', track: published.track, ...wanted });
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
    this.#mediaChanged();
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
      this.#options.changed(id);
    }
    this.#options.changed('');
  }
}

/** @param {number} pixels */
function stepUp(pixels) {
  return Math.ceil(pixels / 160) * 160;
}
