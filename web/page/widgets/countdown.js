import { h, setText } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { serverNow } from '../base/server-clock.js';

/** The time until an instant, by the server's clock. */
export class Countdown {
  element = h('p', { class: 'countdown', role: 'timer' });
  #startsAt;
  #reached;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {Date} startsAt
   * @param {() => void} reached called once, at that instant
   */
  constructor(startsAt, reached) {
    this.#startsAt = startsAt;
    this.#reached = reached;
    this.#tick();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  #tick() {
    const left = this.#startsAt.getTime() - serverNow();
    setText(this.element, left > 0 ? t('meeting.startsIn', { time: span(left) }) : t('meeting.starting'));
    if (left <= 0) return this.#reached();
    // Runs at the next full second. Timers of hidden pages may fire late, and then show the correct time.
    this.#timer = setTimeout(() => this.#tick(), Math.min(left, left % 1000 || 1000));
  }
}

/** @param {number} milliseconds */
function span(milliseconds) {
  const seconds = Math.ceil(milliseconds / 1000);
  const parts = { days: Math.floor(seconds / 86_400), hours: Math.floor(seconds / 3_600) % 24, minutes: Math.floor(seconds / 60) % 60, seconds: seconds % 60 };
  const names = /** @type {(keyof typeof parts)[]} */ (Object.keys(parts));
  const first = names.findIndex((name) => parts[name] > 0);
  return names.slice(Math.max(first, 0)).map((name) => t(`span.${name}`, { count: parts[name] })).join(' ');
}
