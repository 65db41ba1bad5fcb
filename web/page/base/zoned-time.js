/**
 * Milliseconds by which the clock of a zone is ahead of UTC at an instant.
 *
 * @param {string} zone a name of the IANA's
 * @param {number} at milliseconds since 1970
 */
function offset(zone, at) {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone, hourCycle: 'h23', era: 'short', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric',
  });
  const parts = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(at / 1000) * 1000;
}

const DAY = 86_400_000;

/**
 * The instant at which the clock of a zone shows a date and time. Of a time that occurs twice it is the first; a time that is
 * skipped is moved forward by the gap (RFC 5545 section 3.3.5).
 *
 * @param {string} date `2027-03-28`
 * @param {string} time `09:00`
 * @param {string} zone
 * @returns {Date}
 */
export function instantOf(date, time, zone) {
  const shown = Date.parse(`${date}T${time}Z`);
  const before = offset(zone, shown - DAY);
  const after = offset(zone, shown + DAY);
  const fits = [before, after].filter((ahead) => offset(zone, shown - ahead) === ahead).map((ahead) => shown - ahead);
  return new Date(fits.length > 0 ? Math.min(...fits) : shown - before);
}

/**
 * The date and time that the clock of a zone shows at an instant, in the format of form fields.
 *
 * @param {Date} at
 * @param {string} zone
 * @returns {{date: string, time: string}}
 */
export function shownIn(at, zone) {
  const local = new Date(at.getTime() + offset(zone, at.getTime())).toISOString();
  return { date: local.slice(0, 10), time: local.slice(11, 16) };
}

/** The browser's time zone. */
export const ownZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

/** All zones that the browser knows, including its own. */
export function zones() {
  const known = typeof Intl.supportedValuesOf === 'function' ? Intl.supportedValuesOf('timeZone') : [];
  return [...new Set([...known, ownZone(), 'UTC'])].sort();
}
