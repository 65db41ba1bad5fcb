/**
 * @typedef {'microphone' | 'camera'} DeviceKind
 * @typedef {'denied' | 'missing' | 'busy' | 'insecure' | 'undelegated'} DeviceProblem `undelegated`: the page that shows this one in a frame
 *   does not let it use the device (`allow`)
 *
 * @typedef {object} Question
 * @property {MediaTrackConstraints} constraints
 * @property {(track: MediaStreamTrack) => void} resolve
 * @property {(error: unknown) => void} reject
 */

const NAMES = /** @type {const} */ ({ microphone: 'audio', camera: 'video' });

/** Requests devices from the browser. A microphone and a camera requested together are one prompt for the user. */
export class DevicePrompt {
  /** @type {Map<DeviceKind, Question>} */
  #questions = new Map();

  /**
   * @param {DeviceKind} kind
   * @param {MediaTrackConstraints} constraints
   * @returns {Promise<MediaStreamTrack>}
   */
  ask(kind, constraints) {
    if (!isDelegated(kind)) return Promise.reject(new UndelegatedError(kind));
    if (this.#questions.size === 0) queueMicrotask(() => void this.#put());
    return new Promise((resolve, reject) => this.#questions.set(kind, { constraints, resolve, reject }));
  }

  async #put() {
    const questions = new Map(this.#questions);
    this.#questions.clear();
    if (questions.size > 1) {
      try {
        return await answer(questions);
      } catch {
        // One of them is not available. Separate requests show which.
      }
    }
    for (const [kind, question] of questions) {
      await answer(new Map([[kind, question]])).catch((error) => question.reject(error));
    }
  }
}

class UndelegatedError extends Error {}

/** Whether the page may ask at all. Browsers that do not tell it refuse, as the user does. @param {DeviceKind} kind */
function isDelegated(kind) {
  const { permissionsPolicy, featurePolicy } = /** @type {any} */ (document);
  return window.parent === window || ((permissionsPolicy ?? featurePolicy)?.allowsFeature(kind) ?? true);
}

/** @param {Map<DeviceKind, Question>} questions */
async function answer(questions) {
  const constraints = Object.fromEntries([...questions].map(([kind, question]) => [NAMES[kind], question.constraints]));
  const stream = await navigator.mediaDevices.getUserMedia(constraints);
  for (const [kind, { resolve, reject }] of questions) {
    const track = stream.getTracks().find((one) => one.kind === NAMES[kind]);
    if (track) resolve(track);
    else reject(new DOMException(`no ${kind} in the answer`, 'NotFoundError'));
  }
}

/**
 * @param {unknown} error of `getUserMedia`
 * @returns {DeviceProblem}
 */
export function problemOf(error) {
  if (!navigator.mediaDevices) return 'insecure';
  if (error instanceof UndelegatedError) return 'undelegated';
  const name = error instanceof Error || error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'denied';
  if (name === 'NotReadableError' || name === 'AbortError') return 'busy';
  return 'missing';
}
