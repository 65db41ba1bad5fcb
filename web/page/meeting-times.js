import { h } from './dom.js';
import { languageTag, t } from './i18n.js';
import { ownZone } from './zoned-time.js';

/** @param {string} zone @param {Intl.DateTimeFormatOptions} how */
const format = (zone, how) => new Intl.DateTimeFormat(languageTag(), { timeZone: zone, ...how });

/**
 * When a meeting is, in the viewer's zone, and in the organiser's where that is another.
 *
 * @param {{startsAt: string, endsAt: string, timeZone: string}} meeting
 */
export function meetingTimes({ startsAt, endsAt, timeZone }) {
  const own = ownZone();
  const line = (/** @type {string} */ zone) => {
    const [from, to] = [new Date(startsAt), new Date(endsAt)];
    return format(zone, { dateStyle: 'full', timeStyle: 'short' }).formatRange(from, to);
  };
  const elsewhere = line(timeZone) !== line(own) && h('p', { class: 'soft' }, t('meeting.inZone', { time: line(timeZone), zone: timeZone }));
  return h('div', { class: 'meeting-times' },
    h('p', {}, h('time', { datetime: startsAt }, line(own)), ' ', h('span', { class: 'soft' }, `(${own})`)), elsewhere);
}

/** @param {string} startsAt */
export const shortTime = (startsAt) => format(ownZone(), { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(startsAt));
