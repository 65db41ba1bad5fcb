import { h } from '../base/dom.js';
import { languageTag, t } from '../base/i18n.js';
import { ownZone } from '../base/zoned-time.js';

/** @param {string} zone @param {Intl.DateTimeFormatOptions} how */
const format = (zone, how) => new Intl.DateTimeFormat(languageTag(), { timeZone: zone, ...how });

/**
 * The time of a meeting in the viewer's zone, and in the organiser's if it differs.
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

const EVERY = { DAILY: 'schedule.daily', WEEKLY: 'schedule.weekly', MONTHLY: 'schedule.monthly' };

/** How often a meeting repeats, if its rule is simple enough. @param {string} rule of RFC 5545 */
export function repetition(rule) {
  const [, frequency = ''] = /FREQ=(\w+)/.exec(rule) ?? [];
  const isPlain = !/INTERVAL|BY/.test(rule);
  return isPlain && frequency in EVERY ? t(EVERY[/** @type {keyof typeof EVERY} */ (frequency)]) : t('meeting.series');
}

/** @param {string} startsAt */
export const shortTime = (startsAt) => format(ownZone(), { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(startsAt));
