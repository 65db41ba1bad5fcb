import { remembered } from './evidence.js';
import { activate, fitLayers, layersOf, smallestOf } from './layers.js';
import { withStartBitrate } from './start-bitrate.js';
import { withSoundAgain } from './sound-again.js';
import { Steps } from './steps.js';
import { limit, originOf, put, SMALL, SMALL_MS } from './transceivers.js';

/**
 * @typedef {import('./data-saving.js').DataSaving} DataSaving
 * @typedef {import('./outgoing-media.js').OutgoingMedia} OutgoingMedia
 * @typedef {import('./protocol.js').ClientMessage} ClientMessage
 * @typedef {import('./protocol.js').SignalBody} SignalBody
 * @typedef {'microphone' | 'camera' | 'screen' | 'screen-audio'} Source
 */

const DISCONNECTED_MS = 3000;
const UNANSWERED_MS = 10_000;

const BITRATE = 1_700_000;
const ONE_LAYER = [{ maxBitrate: BITRATE }];
const BEGINS_SMALL = [{ maxBitrate: BITRATE, scaleResolutionDownBy: SMALL }];
const SCREEN = [{ maxBitrate: 2_500_000 }];

/** What we send, to the media server: we offer, it answers. */
export class SfuPublisher {
  /** @type {RTCPeerConnection} */
  connection;
  #media;
  #saving;
  #send;
  #changed;
  #troubled;
  /** @type {Map<Source, RTCRtpTransceiver>} */
  #lines = new Map();
  #steps = new Steps('publishing');
  #negotiation = 0;
  #layered;
  #isRecorded;
  #iceServers;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watch;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #enlarging;
  /** The layers of the camera that somebody watches, once the server has said so. @type {string[] | null} */
  #watched = null;

  /**
   * @param {object} options
   * @param {OutgoingMedia} options.media
   * @param {DataSaving} options.saving
   * @param {boolean} options.layers the server accepts several sizes of the camera's picture
   * @param {() => boolean} options.isRecorded whether the room is recorded; a recording must not begin with small pictures
   * @param {() => RTCIceServer[]} options.iceServers
   * @param {(message: ClientMessage) => void} options.send
   * @param {() => void} options.changed
   * @param {() => void} options.troubled the connection is interrupted
   */
  constructor({ media, saving, layers, isRecorded, iceServers, send, changed, troubled }) {
    this.#media = media;
    this.#saving = saving;
    // Layers that the server refuses cost another connection: Chromium cannot make a further offer on the first one.
    this.#layered = layers;
    this.#isRecorded = isRecorded;
    this.#iceServers = iceServers;
    this.#send = send;
    this.#changed = changed;
    this.#troubled = troubled;
    this.connection = this.#connect();
    this.update();
  }

  /** Whether all local media is being sent. */
  get isConnected() {
    return this.#lines.size === 0 || this.connection.connectionState === 'connected';
  }

  /** The local tracks have changed. */
  update() {
    this.#steps.add(() => this.#putTracks());
  }

  /** @param {SignalBody} body */
  receive(body) {
    this.#steps.add(async () => {
      if (body.description?.type === 'answer') await this.#answered(body.description, body.negotiation);
    });
  }

  /** @param {string[]} active the layers of the camera that somebody watches */
  setLayers(active) {
    this.#watched = active;
    this.#steps.add(() => this.#save());
  }

  /** The user wants to send more, or less, than before. */
  save() {
    this.#steps.add(() => this.#save());
  }

  /** Sends of the camera what is watched and what saving data allows. */
  async #save() {
    const line = this.#lines.get('camera');
    if (!line) return;
    const isSmall = this.#saving.isSmall();
    if (!this.#layered) {
      const { maxBitrate, smaller } = isSmall ? smallestOf(line.sender.track) : { maxBitrate: BITRATE, smaller: 1 };
      return limit(line, maxBitrate, smaller);
    }
    const [least, ...others] = line.sender.getParameters().encodings.flatMap(({ rid }) => rid ?? []);
    if (least === undefined) return;
    const watched = this.#watched ?? [least, ...others];
    await activate(line.sender, isSmall && watched.length > 0 ? [least] : watched);
  }

  /** The server may prefer other codecs now, which its answer to the same offer states. */
  renegotiate() {
    this.#steps.add(() => this.#offer());
  }

  /** The server may no longer know this client: an offer with new ICE credentials shows it. */
  repair() {
    if (this.#lines.size > 0) this.connection.restartIce();
  }

  /**
   * The server can be reached: a path that is interrupted is replaced by a new one.
   *
   * @param {boolean} moved the network has changed
   */
  recover(moved) {
    const { connectionState } = this.connection;
    if (connectionState === 'failed') this.#steps.add(() => this.#replace());
    else if (connectionState === 'disconnected' || (moved && connectionState === 'connected')) this.connection.restartIce();
  }

  close() {
    this.#steps.close();
    clearTimeout(this.#watch);
    clearTimeout(this.#enlarging);
    this.#detach();
  }

  #connect() {
    const connection = remembered(new RTCPeerConnection({ iceServers: this.#iceServers(), bundlePolicy: 'max-bundle' }));
    connection.onnegotiationneeded = () => this.#steps.add(() => this.#offer());
    connection.onicecandidate = ({ candidate }) => {
      this.#send({ type: 'signal', to: 'sfu', pc: 'publish', candidate: candidate ? candidate.toJSON() : { candidate: '' } });
    };
    connection.onconnectionstatechange = () => this.#stateChanged();
    return connection;
  }

  #detach() {
    const { connection } = this;
    connection.onnegotiationneeded = connection.onicecandidate = connection.onconnectionstatechange = null;
    connection.close();
  }

  async #replace() {
    this.#detach();
    this.#lines.clear();
    this.#watched = null;
    this.connection = this.#connect();
    await this.#putTracks();
  }

  async #putTracks() {
    const { microphone, camera, screen, screenAudio } = this.#media;
    await this.#putTrack('microphone', microphone);
    await this.#putTrack('camera', camera, camera && this.#layered ? this.#layersOf(camera) : this.#isRecorded() ? ONE_LAYER : BEGINS_SMALL);
    await this.#putTrack('screen', screen, SCREEN);
    await this.#putTrack('screen-audio', screenAudio);
  }

  /** @param {MediaStreamTrack} camera */
  #layersOf(camera) {
    const isSmall = this.#saving.isSmall();
    return layersOf(camera).map((layer, at) => ({ ...layer, active: at === 0 || !isSmall }));
  }

  /**
   * @param {Source} source
   * @param {MediaStreamTrack | null} track
   * @param {RTCRtpEncodingParameters[]} [sendEncodings]
   */
  async #putTrack(source, track, sendEncodings) {
    const line = this.#lines.get(source);
    if (!line) {
      if (track) this.#lines.set(source, this.connection.addTransceiver(track, { direction: 'sendonly', sendEncodings }));
      return;
    }
    const isOther = line.sender.track !== track;
    await put(line, track);
    if (isOther && source === 'camera') {
      if (this.#layered) await fitLayers(line.sender);
      else if (this.#saving.isSmall()) await this.#save();
    }
    // A camera that is off keeps its m-line; a screen that is no longer shared is removed for the others.
    const keeps = track !== null || source === 'microphone' || source === 'camera';
    const direction = keeps ? 'sendonly' : 'inactive';
    if (line.direction !== direction) line.direction = direction;
  }

  async #offer() {
    const { connection } = this;
    if (connection.signalingState !== 'stable' || this.#lines.size === 0) return;
    const { sdp = '' } = await connection.createOffer();
    // Some browsers accept only their own description, unedited.
    await connection.setLocalDescription({ type: 'offer', sdp: withSoundAgain(sdp) })
      .catch(() => connection.setLocalDescription());
    const tracks = [...this.#lines].flatMap(([source, { mid, direction, receiver }]) =>
      mid !== null && direction === 'sendonly' ? [{ mid, kind: /** @type {'audio' | 'video'} */ (receiver.track.kind), source }] : []);
    this.#send({ type: 'publish', tracks });
    this.#negotiation += 1;
    const description = connection.localDescription ?? undefined;
    this.#send({ type: 'signal', to: 'sfu', pc: 'publish', description, negotiation: this.#negotiation });
    this.#watchFor(UNANSWERED_MS);
  }

  /**
   * @param {RTCSessionDescriptionInit} answer
   * @param {number | undefined} negotiation
   */
  async #answered(answer, negotiation) {
    const { connection } = this;
    if (connection.signalingState !== 'have-local-offer') return;
    if (negotiation !== undefined && negotiation !== this.#negotiation) return;
    const known = connection.currentRemoteDescription;
    // The server has created a new connection, with which ours cannot continue.
    if (known && originOf(known) !== originOf(answer)) return this.#replace();
    // Chromium cannot make another offer on a connection whose layers were refused.
    const hasLayers = (/** @type {RTCSessionDescriptionInit | null} */ of) => /^a=simulcast:/m.test(of?.sdp ?? '');
    if (this.#layered && hasLayers(connection.localDescription) && !hasLayers(answer)) {
      this.#layered = false;
      return this.#replace();
    }
    await connection.setRemoteDescription({ type: 'answer', sdp: withStartBitrate(answer.sdp ?? '') });
    this.#enlargeSoon();
  }

  /** The first scaled-down picture of the camera has been sent. */
  #enlargeSoon() {
    if (this.#layered || !this.#lines.has('camera') || this.connection.connectionState !== 'connected') return;
    clearTimeout(this.#enlarging);
    this.#enlarging = setTimeout(() => this.save(), SMALL_MS);
  }

  #stateChanged() {
    const state = this.connection.connectionState;
    clearTimeout(this.#watch);
    if (state === 'disconnected' || state === 'failed') this.#troubled();
    if (state === 'disconnected') this.#watchFor(DISCONNECTED_MS);
    else if (state === 'failed') this.#watchFor(0);
    else if (state !== 'connected') this.#watchFor(UNANSWERED_MS);
    this.#enlargeSoon();
    this.#changed();
  }

  /** @param {number} afterMs */
  #watchFor(afterMs) {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => {
      const { connectionState, signalingState } = this.connection;
      if (this.#steps.isClosed || (connectionState === 'connected' && signalingState === 'stable')) return;
      this.#watchFor(UNANSWERED_MS);
      if (connectionState === 'disconnected' && signalingState === 'stable') this.connection.restartIce();
      else this.#steps.add(() => this.#replace());
    }, afterMs);
  }
}
