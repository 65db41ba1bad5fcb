import { Arrivals } from './arrivals.js';

/**
 * A level is that of the last packet (20 ms of sound), so it is read often, with a period that does not divide that of regular sounds.
 */
const EVERY_MS = 90;
/** How long a measured level counts: speech has gaps between syllables. */
const HOLD_MS = 400;
const AUDIBLE = 0.02;

/** Determines who speaks: from received audio, or, with the media server, from its events. */
export class ActiveSpeakers {
  /** @type {(speaking: Set<string>, loudest: string | null) => void} */
  onchange = () => {};
  #call;
  #arrivals = new Arrivals();
  #timer;
  /** @type {Map<string, {level: number, at: number}>} the loudest level of late of each peer */
  #heard = new Map();
  /** @type {Set<string>} */
  #speaking = new Set();
  /** @type {string | null} */
  #loudest = null;

  /** @param {import('../../../sdk/index.js').Call} call */
  constructor(call) {
    this.#call = call;
    this.#timer = setInterval(() => this.#listen(), EVERY_MS);
  }

  close() {
    clearInterval(this.#timer);
  }

  #listen() {
    /** @type {[string, number][]} */
    const levels = [];
    const connections = this.#call.connections();
    const now = performance.now();
    const peers = this.#call.peers;
    for (const id of this.#heard.keys()) if (!peers.some((peer) => peer.id === id)) this.#heard.delete(id);
    for (const { id, microphone, away } of peers) {
      const track = this.#call.streams(id)?.main.getAudioTracks()[0];
      const connection = connections.get(id) ?? connections.get('subscribe');
      const receiver = connection?.getReceivers().find((candidate) => candidate.track === track);
      const level = microphone && !away ? this.#arrivals.level(receiver, now) : 0;
      if (level > AUDIBLE) this.#heard.set(id, { level, at: now });
      const heard = this.#heard.get(id);
      if (microphone && !away && heard && now - heard.at <= HOLD_MS) levels.push([id, heard.level]);
    }
    levels.sort(([, a], [, b]) => b - a);
    const speaking = new Set(levels.map(([id]) => id));
    // The loudest speaker stays the loudest until somebody else speaks.
    const loudest = this.#loudest !== null && speaking.has(this.#loudest) ? this.#loudest : (levels[0]?.[0] ?? this.#loudest);
    const same = loudest === this.#loudest && speaking.size === this.#speaking.size && [...speaking].every((id) => this.#speaking.has(id));
    if (same) return;
    this.#speaking = speaking;
    this.#loudest = loudest;
    this.onchange(speaking, loudest);
  }
}
