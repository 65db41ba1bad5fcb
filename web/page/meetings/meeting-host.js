import { h } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { cancel, change, end } from './meetings-api.js';
import { instantOf, shownIn } from '../base/zoned-time.js';

/** The organiser's controls of a meeting. */
export class MeetingHost {
  element;
  #problem = h('p', { class: 'problem', role: 'alert' });
  #seen;
  #token;
  #changed;

  /**
   * @param {import('./meetings-api.js').Invitation} seen
   * @param {string} token
   * @param {() => void} changed
   */
  constructor(seen, token, changed) {
    this.#seen = seen;
    this.#token = token;
    this.#changed = changed;
    const link = `${seen.joinUrl}#host=${token}`;
    this.element = h('section', { class: 'host', 'aria-label': t('meeting.host') },
      h('h2', {}, t('meeting.host')),
      h('details', {}, h('summary', {}, t('meeting.hostLink')), h('p', { class: 'soft' }, t('meeting.hostLinkHint')), h('code', {}, link)),
      seen.hasTime && this.#reschedule(),
      h('div', { class: 'actions' },
        seen.state === 'open' && this.#button('meeting.end', () => end(seen.meeting, token)),
        seen.hasTime && this.#button('meeting.cancel', () => cancel(seen.meeting, token))),
      this.#problem);
  }

  #reschedule() {
    const { startsAt, timeZone, meeting } = this.#seen;
    const shown = shownIn(new Date(startsAt), timeZone);
    const date = h('input', { id: 'new-date', class: 'input', type: 'date', required: true, value: shown.date });
    const time = h('input', { id: 'new-time', class: 'input', type: 'time', required: true, value: shown.time });
    const move = (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.#do(() => change(meeting, this.#token, { startsAt: instantOf(date.value, time.value, timeZone).toISOString() }));
    };
    return h('details', {}, h('summary', {}, t('meeting.move')),
      h('form', { class: 'form', onsubmit: move },
        h('p', { class: 'soft' }, timeZone),
        h('div', { class: 'field' }, h('label', { for: 'new-date' }, t('schedule.date')), date),
        h('div', { class: 'field' }, h('label', { for: 'new-time' }, t('schedule.time')), time),
        h('button', { class: 'button', type: 'submit' }, t('meeting.reschedule'))));
  }

  /** @param {string} label @param {() => Promise<unknown>} action */
  #button(label, action) {
    return h('button', { type: 'button', class: 'button', onclick: () => void this.#do(action) }, t(label));
  }

  /** @param {() => Promise<unknown>} action */
  async #do(action) {
    this.#problem.textContent = '';
    try {
      await action();
      this.#changed();
    } catch (error) {
      this.#problem.textContent = error instanceof Error && error.message ? error.message : t('meeting.failed');
    }
  }
}
