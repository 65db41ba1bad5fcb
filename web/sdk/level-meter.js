/** The level of a microphone, also while it is muted: it analyses a copy of the track that is never sent. */
export class LevelMeter {
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {AnalyserNode | null} */
  #analyser = null;
  /** @type {MediaStreamTrack | null} */
  #copy = null;
  /** @type {MediaStreamTrack | null} */
  #original = null;
  /** @type {Float32Array<ArrayBuffer>} */
  #samples = new Float32Array(1024);

  /** @param {MediaStreamTrack | null} track */
  listen(track) {
    if (track === this.#original) return;
    this.#release();
    this.#original = track;
    if (!track || typeof AudioContext !== 'function') return;
    this.#context ??= new AudioContext();
    this.#copy = track.clone();
    this.#copy.enabled = true;
    this.#analyser = this.#context.createAnalyser();
    this.#analyser.fftSize = this.#samples.length;
    this.#context.createMediaStreamSource(new MediaStream([this.#copy])).connect(this.#analyser);
  }

  /** @returns {number} 0 for silence to 1 for loud */
  get level() {
    if (!this.#analyser) return 0;
    // An audio context made before a user gesture is suspended until one.
    if (this.#context?.state === 'suspended') void this.#context.resume();
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length;
    const decibels = 10 * Math.log10(power + 1e-9);
    return Math.min(1, Math.max(0, (decibels + 60) / 50));
  }

  close() {
    this.#release();
    this.#original = null;
    void this.#context?.close();
    this.#context = null;
  }

  #release() {
    this.#copy?.stop();
    this.#copy = this.#analyser = null;
  }
}
