import { callCause, deviceCause } from './cause.js';
import { findings, hasFailedHandshake, joined } from './evidence.js';

/**
 * @typedef {import('./cause.js').Cause} Cause
 * @typedef {import('./evidence.js').Findings} Findings
 * @typedef {import('./protocol.js').Peer} Peer
 * @typedef {import('./picture-reports.js').PictureReport} PictureReport
 * @typedef {{publish: Heard | null, subscribe: Heard | null}} Reach what the media server has received
 * @typedef {{check: 'udp' | 'tcp' | 'relay' | null, dtls: string}} Heard
 *
 * @typedef {object} DiagnosisOptions
 * @property {() => URL} base the server's address
 * @property {() => boolean} server whether the session is established
 * @property {() => Map<string, RTCPeerConnection>} connections
 * @property {() => Peer[]} peers the others
 * @property {(connection: RTCPeerConnection) => boolean} isFlowing
 * @property {(peer: string) => boolean} wantsPictures whether the user wants pictures of a peer
 * @property {(peer: string) => PictureReport | null} picture what the media server last said about the camera of a peer
 * @property {() => Promise<Reach | null>} reach
 * @property {(cause: Cause) => void} report
 * @property {(key: string, cause: Cause | null) => void} changed `key`: a peer, or `publish`
 *
 * @typedef {object} Course of one purpose, over the connections that are made for it
 * @property {RTCPeerConnection} connection
 * @property {number} since when the connection has not worked, or media has not arrived
 * @property {boolean} was whether it has worked before
 * @property {Findings | undefined} former
 * @property {Findings | undefined} latest
 */

const EVERY_MS = 1_000;
/** After this time in milliseconds something has failed. */
const WAIT_MS = 10_000;
const SILENT_MS = 4_000;
/** Timers that run this much later than they should, in milliseconds, show that the page slept. */
const ASLEEP_MS = 5_000;

/** Finds out why the connections of a call fail. */
export class Diagnosis {
  #options;
  /** @type {Map<string, Course>} */
  #courses = new Map();
  /** @type {Map<string, Cause>} */
  #causes = new Map();
  /** @type {Map<string, number>} since when a peer's media does not arrive */
  #silent = new Map();
  /** What was reported; the server counts each once for a call. @type {Set<Cause>} */
  #reported = new Set();
  /** @type {Set<Cause>} */
  #unreported = new Set();
  #lookedAt = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /** @param {DiagnosisOptions} options */
  constructor(options) {
    this.#options = options;
  }

  start() {
    this.stop();
    this.#timer = setInterval(() => void this.#look(), EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#courses.clear();
    for (const key of [...this.#causes.keys()]) this.#set(key, null);
  }

  /** @param {string} key a peer, or `publish` */
  cause(key) {
    return this.#causes.get(key) ?? null;
  }

  /** The server cannot be reached. */
  serverLost() {
    this.#count('server-unreachable');
  }

  /** The devices cannot be used. @param {import('./local-media.js').LocalMedia['problems']} problems */
  devices(problems) {
    for (const kind of /** @type {const} */ (['camera', 'microphone'])) {
      if (problems[kind]) this.#count(deviceCause(kind, problems[kind]));
    }
  }

  /** Counts a cause once in a call, as soon as the server can be reached. @param {Cause} cause */
  #count(cause) {
    if (!this.#reported.has(cause)) this.#unreported.add(cause);
  }

  async #look() {
    const { server, connections, report } = this.#options;
    const now = performance.now();
    // The page slept, and its connections with it.
    if (now - this.#lookedAt > ASLEEP_MS) for (const course of this.#courses.values()) course.since = now;
    this.#lookedAt = now;
    if (server()) {
      for (const cause of this.#unreported) {
        this.#reported.add(cause);
        report(cause);
      }
      this.#unreported.clear();
    }
    const present = connections();
    for (const key of this.#courses.keys()) if (!present.has(key)) this.#courses.delete(key);
    /** @type {Map<string, Cause | null>} */
    const found = new Map();
    for (const [key, connection] of present) await this.#follow(key, connection, found).catch(() => {});
    for (const [key, cause] of found) this.#set(key, cause);
    for (const key of [...this.#causes.keys()]) if (!found.has(key)) this.#set(key, null);
  }

  /** @param {string} key @param {RTCPeerConnection} connection @param {Map<string, Cause | null>} found by peer, or `publish` */
  async #follow(key, connection, found) {
    const now = performance.now();
    const course = this.#courseOf(key, connection, now);
    // Nothing is sent yet.
    if (!connection.localDescription && !connection.remoteDescription) return void (course.since = now);
    course.latest = await findings(connection, this.#options.base());
    const seen = joined(course.former, course.latest);
    const works = seen.ice && seen.dtls === 'connected';
    if (works) Object.assign(course, { was: true, since: now, former: undefined });
    const waited = now - course.since >= WAIT_MS || (!works && connection.connectionState === 'failed');
    const toServer = key === 'publish' || key === 'subscribe';
    const reach = toServer && waited && !seen.ice && this.#options.server() ? await this.#options.reach().catch(() => null) : null;
    const heard = reach?.[/** @type {'publish' | 'subscribe'} */ (key)];
    const evidence = {
      ...seen, toServer, waited, was: course.was,
      server: this.#options.server(),
      https: this.#options.base().protocol === 'https:',
      heard: heard ? heard.check ?? /** @type {const} */ ('none') : null,
      stopped: false,
      quality: null,
    };
    if (key === 'publish') return void found.set(key, callCause(evidence));
    const peers = key === 'subscribe' ? this.#options.peers() : this.#options.peers().filter(({ id }) => id === key);
    for (const peer of peers) {
      // A viewer or a peer that is away sends no media.
      if (peer.role === 'viewer' || peer.away) continue;
      found.set(peer.id, callCause({ ...evidence, stopped: this.#isStopped(peer, connection, key, now), quality: this.#qualityOf(peer) }));
    }
  }

  /** @param {string} key @param {RTCPeerConnection} connection @param {number} now */
  #courseOf(key, connection, now) {
    const known = this.#courses.get(key);
    if (known?.connection === connection) return known;
    const former = known?.latest && joined(known.former, known.latest);
    if (former && known && hasFailedHandshake(known.connection)) former.handshakeFailed = true;
    /** @type {Course} */
    const course = { connection, since: known?.since ?? now, was: known?.was ?? false, former, latest: undefined };
    this.#courses.set(key, course);
    return course;
  }

  /** Whether nothing arrives of a peer that sends. @param {Peer} peer @param {RTCPeerConnection} connection @param {string} key @param {number} now */
  #isStopped(peer, connection, key, now) {
    // The media server sends no picture that this page does not show.
    const sends = peer.microphone || (key !== 'subscribe' && this.#options.wantsPictures(peer.id) && (peer.camera || peer.screen));
    if (!sends || this.#options.isFlowing(connection)) {
      this.#silent.delete(peer.id);
      return false;
    }
    const since = this.#silent.get(peer.id) ?? now;
    this.#silent.set(peer.id, since);
    return now - since >= SILENT_MS;
  }

  /** @param {Peer} peer */
  #qualityOf({ id, camera }) {
    const report = camera ? this.#options.picture(id) : null;
    const reason = report?.level === 0 ? report.reason : undefined;
    return reason === 'own-network' || reason === 'sender' ? reason : null;
  }

  /** @param {string} key @param {Cause | null} cause */
  #set(key, cause) {
    if ((this.#causes.get(key) ?? null) === cause) return;
    if (cause) this.#causes.set(key, cause);
    else this.#causes.delete(key);
    if (cause) this.#count(cause);
    this.#options.changed(key, cause);
  }
}
