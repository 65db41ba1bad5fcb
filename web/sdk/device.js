import { problemOf } from './device-prompt.js';

/**
 * @typedef {import('./device-prompt.js').DeviceProblem} DeviceProblem
 *
 * @typedef {object} Choice which device to open
 * @property {string} deviceId empty for the browser's choice
 * @property {'user' | 'environment' | null} facing
 *
 * @typedef {object} Substitution another device than the chosen one is in use
 * @property {DeviceProblem} problem of the chosen one
 * @property {boolean} kept the previous device is used again, not the browser's choice
 *
 * @typedef {object} DeviceOptions
 * @property {(choice: Choice) => Promise<MediaStreamTrack>} open
 * @property {() => void} changed the track was replaced, or the system has muted or unmuted it
 * @property {(problem: DeviceProblem) => void} failed there is no track although one was requested
 * @property {(substitution: Substitution) => void} substituted
 * @property {((deviceId: string) => Promise<boolean>)} [unplugged] if the browser's choice replaces an unplugged device
 */

/** @type {Choice} */
const BROWSERS_CHOICE = { deviceId: '', facing: null };

/**
 * A microphone or a camera: what is wanted of it, and the track there is. Opening takes time, and meanwhile more may be
 * asked: one request is under way at a time, and a track that is not wanted any more when it arrives is stopped at once.
 */
export class Device {
  /** @type {MediaStreamTrack | null} */
  track = null;
  /** Why there is no track although one was requested. @type {DeviceProblem | null} */
  problem = null;
  /** @type {Substitution | null} */
  substitution = null;
  choice = BROWSERS_CHOICE;
  #wanted = false;
  /** The choice that was last applied. @type {Choice | null} */
  #answered = null;
  /** The choice that the present track was opened with. */
  #inUse = BROWSERS_CHOICE;
  /** @type {Promise<void> | null} */
  #work = null;
  #options;

  /** @param {DeviceOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /** Whether the system blocks sound or picture, for a phone call, by a headset's button, or for another program. */
  get silenced() {
    return this.track?.muted ?? false;
  }

  /** Opens the device, unless it is open. @returns {Promise<void>} settles when the result is known */
  open() {
    this.#wanted = true;
    if (!this.track && !this.#work) this.#answered = null;
    return this.#settle();
  }

  /** Releases the device, and the track that a pending request may still deliver. */
  close() {
    this.#wanted = false;
    this.substitution = null;
    this.#take(null);
  }

  /**
   * Changes to another device; a closed device stays closed, and the new one is opened later.
   *
   * @param {Choice} choice
   */
  choose(choice) {
    this.choice = choice;
    return this.#wanted ? this.#settle() : Promise.resolve();
  }

  #settle() {
    this.#work ??= this.#run().finally(() => {
      this.#work = null;
    });
    return this.#work;
  }

  async #run() {
    while (this.#wanted && this.#answered !== this.choice) {
      const choice = this.choice;
      this.#answered = choice;
      await this.#turnTo(choice);
    }
  }

  /** @param {Choice} choice */
  async #turnTo(choice) {
    const error = await this.#attempt(choice);
    if (!error || !this.#isCurrent(choice)) return;
    const problem = problemOf(error);
    const former = this.track && { ...this.#inUse, deviceId: this.track.getSettings().deviceId ?? '' };
    if (former && problem === 'busy') return this.#exchange(choice, former);
    if (former) return this.#keep(this.#inUse, problem);
    const specific = choice.deviceId !== '' || choice.facing !== null;
    if (!specific || problem !== 'missing') return this.#fail(problem);
    await this.#substitute(problem, false, { ...BROWSERS_CHOICE });
  }

  /**
   * A phone opens no second camera while the first one is open, so the first goes before, and comes back where the
   * second is not to be had.
   *
   * @param {Choice} choice
   * @param {Choice} former
   */
  async #exchange(choice, former) {
    this.#take(null);
    this.#options.changed();
    const error = await this.#attempt(choice);
    if (!error || !this.#isCurrent(choice)) return;
    await this.#substitute(problemOf(error), true, former);
  }

  /**
   * @param {DeviceProblem} problem of the chosen device
   * @param {boolean} kept
   * @param {Choice} choice what to open in its place
   */
  async #substitute(problem, kept, choice) {
    this.choice = this.#answered = choice;
    const error = await this.#attempt(choice);
    if (!this.#isCurrent(choice)) return;
    if (error) this.#fail(problemOf(error));
    else this.#tell({ problem, kept });
  }

  /** @param {Choice} choice @param {DeviceProblem} problem */
  #keep(choice, problem) {
    this.choice = this.#answered = choice;
    this.#tell({ problem, kept: true });
    this.#options.changed();
  }

  /**
   * @param {Choice} choice
   * @returns {Promise<unknown>} the error, or nothing where the device was opened
   */
  async #attempt(choice) {
    try {
      const track = await this.#options.open(choice);
      if (!this.#isCurrent(choice)) return void track.stop();
      this.substitution = null;
      this.#inUse = choice;
      this.#take(track);
      this.#options.changed();
    } catch (error) {
      return error ?? new Error('refused');
    }
  }

  /** @param {Choice} choice */
  #isCurrent(choice) {
    return this.#wanted && this.choice === choice;
  }

  /** @param {MediaStreamTrack | null} track */
  #take(track) {
    const former = this.track;
    this.track = track;
    if (former) {
      former.onended = former.onmute = former.onunmute = null;
      former.stop();
    }
    if (!track) return;
    this.problem = null;
    track.onended = () => void this.#ended(track);
    track.onmute = track.onunmute = () => this.#options.changed();
  }

  /** The device was unplugged, or the system has withdrawn it. @param {MediaStreamTrack} track */
  async #ended(track) {
    if (this.track !== track) return;
    const { deviceId } = track.getSettings();
    this.#take(null);
    this.#options.changed();
    const unplugged = deviceId !== undefined && await this.#options.unplugged?.(deviceId);
    if (!this.#wanted || this.track || this.#work) return;
    if (!unplugged) return this.#fail('missing');
    this.#work = this.#substitute('missing', false, { ...BROWSERS_CHOICE }).then(() => this.#run()).finally(() => {
      this.#work = null;
    });
    await this.#work;
  }

  /** @param {Substitution} substitution */
  #tell(substitution) {
    this.substitution = substitution;
    this.#options.substituted(substitution);
  }

  /** @param {DeviceProblem} problem */
  #fail(problem) {
    this.problem = problem;
    this.#options.failed(problem);
    this.#options.changed();
  }
}
