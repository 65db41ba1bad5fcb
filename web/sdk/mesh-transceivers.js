import { fill, limit, put, SMALL } from './transceivers.js';

const SCREEN_BITRATE = 2_500_000;

/**
 * The transceivers of one connection to a peer. The first offer has one for audio and one for video; any further ones carry
 * a screen and its audio. A track is put on its transceiver without negotiation, so that switching a camera costs no round
 * trip.
 */
export class MeshTransceivers {
  #connection;
  #media;
  #wantsPictures;
  /** @type {{audio: RTCRtpTransceiver | undefined, video: RTCRtpTransceiver | undefined} | null} */
  #main = null;
  /** Those of the local screen and its audio. @type {RTCRtpTransceiver[]} */
  #screen = [];

  /**
   * @param {RTCPeerConnection} connection
   * @param {import('./outgoing-media.js').OutgoingMedia} media what to send
   * @param {() => boolean} wantsPictures whether pictures are to be received
   */
  constructor(connection, media, wantsPictures) {
    this.#connection = connection;
    this.#media = media;
    this.#wantsPictures = wantsPictures;
  }

  /** Whether the transceivers for audio and video exist. */
  get isOpen() {
    return this.#main !== null;
  }

  /** Adds them before the first offer. */
  open() {
    const { microphone, camera } = this.#media;
    const audio = this.#connection.addTransceiver(microphone ?? 'audio', { direction: 'sendrecv' });
    const sendEncodings = [{ scaleResolutionDownBy: SMALL }];
    const video = this.#connection.addTransceiver(camera ?? 'video', { direction: this.#direction('video'), sendEncodings });
    this.#main = { audio, video };
  }

  /** Uses those that the other side's first offer has made. */
  async adopt() {
    if (this.#main) return;
    const transceivers = this.#connection.getTransceivers();
    const first = (/** @type {string} */ kind) => transceivers.find(({ receiver }) => receiver.track.kind === kind);
    this.#main = { audio: first('audio'), video: first('video') };
    for (const line of Object.values(this.#main)) if (line) line.direction = this.#direction(line.receiver.track.kind);
    await this.#sendMain();
  }

  /**
   * Sends the current local tracks.
   *
   * @param {number} videoBitrate bits per second at most for the camera
   * @param {number} smaller the factor by which the camera's picture is scaled down
   */
  async send(videoBitrate, smaller) {
    if (!this.#main) return;
    await this.#sendMain();
    // A screen before the first answer would stand where the other side expects microphone and camera.
    if (this.#connection.currentRemoteDescription) await this.#sendScreen();
    await limit(this.#main.video, videoBitrate, smaller);
  }

  /** Updates the streams of the other side. @param {import('./transceivers.js').RemoteStreams} streams */
  collect(streams) {
    if (!this.#main) return;
    const { audio, video } = this.#main;
    fill(streams.main, tracksOf([audio, video]));
    const others = this.#connection.getTransceivers().filter((line) => line !== audio && line !== video);
    const screens = others.filter(({ currentDirection }) => currentDirection?.includes('recv'));
    if (screens.length === 0) streams.screen = null;
    else fill((streams.screen ??= new MediaStream()), tracksOf(screens));
  }

  /** Receives pictures, or none. */
  receive() {
    if (!this.#main) return;
    const { audio, video } = this.#main;
    for (const line of this.#connection.getTransceivers()) {
      if (line === audio || this.#screen.includes(line) || line.receiver.track.kind !== 'video' || line.direction === 'stopped') continue;
      const direction = line === video ? this.#direction('video') : this.#wantsPictures() ? 'recvonly' : 'inactive';
      if (line.direction !== direction) line.direction = direction;
    }
  }

  /** @param {string} kind @returns {RTCRtpTransceiverDirection} */
  #direction(kind) {
    return kind === 'audio' || this.#wantsPictures() ? 'sendrecv' : 'sendonly';
  }

  async #sendMain() {
    await put(this.#main?.audio, this.#media.microphone);
    await put(this.#main?.video, this.#media.camera);
  }

  async #sendScreen() {
    const { screen, screenAudio } = this.#media;
    for (const track of [screen, screenAudio]) {
      const line = this.#screen.find(({ receiver }) => receiver.track.kind === track?.kind);
      if (track && !line) {
        const made = this.#connection.addTransceiver(track, { direction: 'sendonly' });
        this.#screen.push(made);
        if (track.kind === 'video') await limit(made, SCREEN_BITRATE);
      }
    }
    for (const line of this.#screen) {
      const track = line.receiver.track.kind === 'video' ? screen : screenAudio;
      await put(line, track);
      const direction = track ? 'sendonly' : 'inactive';
      if (line.direction !== direction) line.direction = direction;
    }
  }
}

/** @param {(RTCRtpTransceiver | undefined)[]} lines */
function tracksOf(lines) {
  return lines.flatMap((line) => (line ? [line.receiver.track] : []));
}
