import { Arrivals } from './arrivals.js';

const EVERY_MS = 400;
const AUDIBLE = 0.02;

/** Who speaks: from the sound that arrives, or, through the media server, as the server says. */
export class ActiveSpeakers {
  /** @type {(speaking: Set<string>, loudest: string | null) => void} */
  onchange = () => {};
  #call;
  #arrivals = new Arrivals();
  #timer;
  /** @type {Set<string>} */
  #speaking = new Set();
  /** @type {string | null} */
  #loudest = null;

  /** @param {import('../sdk/index.js').Call} call */
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
    for (const { id, microphone, away } of this.#call.peers) {
      const track = this.#call.streams(id)?.main.getAudioTracks()[0];
      const connection = connections.get(id) ?? connections.get('subscribe');
      const receiver = connection?.getReceivers().find((candidate) => candidate.track === track);
      const level = this.#arrivals.level(receiver, performance.now());
      if (microphone && !away && level > AUDIBLE) levels.push([id, level]);
    }
    levels.sort(([, a], [, b]) => b - a);
    const speaking = new Set(levels.map(([id]) => id));
    // Whoever was the loudest stays so while nobody else speaks up.
    const loudest = this.#loudest !== null && speaking.has(this.#loudest) ? this.#loudest : (levels[0]?.[0] ?? this.#loudest);
    const same = loudest === this.#loudest && speaking.size === this.#speaking.size && [...speaking].every((id) => this.#speaking.has(id));
    if (same) return;
    this.#speaking = speaking;
    this.#loudest = loudest;
    this.onchange(speaking, loudest);
  }
}
