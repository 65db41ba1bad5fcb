/**
 * The page that shows this one in a frame, and what they say to each other by `postMessage`.
 *
 * Commands are obeyed only if they come from the parent of this window and from an origin that the operator has listed
 * (`--frame-ancestors`); answers and events go to that origin. No command switches a device on.
 *
 * @typedef {object} Command of the parent
 * @property {'visavis'} to
 * @property {string} command
 * @property {any} [value]
 * @property {number} [id] is repeated in the answer
 */

/** @typedef {Record<string, (value: any) => unknown>} Commands what each command does; the result is the answer */

/** The origins whose pages may show this one. */
const ORIGINS = (document.querySelector('meta[name="frame-ancestors"]')?.getAttribute('content') ?? '')
  .split(' ')
  .map((source) => (source === "'self'" ? location.origin : source))
  .filter((source) => source && source !== "'none'");

/** Whether a page of another window shows this one, and may. */
export const isInFrame = window.parent !== window && ORIGINS.length > 0;

export class ParentPage {
  #commands;
  #origins = ORIGINS.filter((origin) => [origin, undefined].includes(location.ancestorOrigins?.[0]));

  /** @param {Commands} commands */
  constructor(commands) {
    this.#commands = commands;
    if (isInFrame) addEventListener('message', (message) => void this.#message(message));
  }

  /** @param {string} event @param {unknown} detail what structured cloning accepts */
  tell(event, detail) {
    this.#post({ from: 'visavis', event, detail });
  }

  /** @param {MessageEvent} message */
  async #message({ source, origin, data }) {
    if (source !== window.parent || !ORIGINS.includes(origin) || data?.to !== 'visavis') return;
    // From now on it is known which of them the parent is.
    this.#origins = [origin];
    const { command, value, id } = /** @type {Command} */ (data);
    try {
      const act = Object.hasOwn(this.#commands, command) ? this.#commands[command] : undefined;
      if (!act) throw Object.assign(new Error(`there is no command ${command}`), { code: 'unknown-message' });
      this.#post({ from: 'visavis', answers: id, result: await act(value ?? {}) });
    } catch (error) {
      const { code = 'internal', message = '' } = /** @type {any} */ (error);
      this.#post({ from: 'visavis', answers: id, error: { code, message } });
    }
  }

  /** @param {object} message */
  #post(message) {
    if (!isInFrame) return;
    for (const origin of this.#origins) window.parent.postMessage(message, origin);
  }
}
