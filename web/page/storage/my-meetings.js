import { keptUntil } from './host-token.js';

const KEY = 'visavis.meetings';
const MOST = 100;

/** @typedef {{meeting: string, token: string, until?: number}} Own until when it is kept, in milliseconds since 1970 */

/** The meetings that were made in this browser or opened by their host link, the newest first. @returns {Own[]} */
export function ownMeetings() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    const isKept = (/** @type {any} */ one) => typeof one?.meeting === 'string' && typeof one?.token === 'string' && !(one.until < Date.now());
    return Array.isArray(stored) ? stored.filter(isKept) : [];
  } catch {
    return [];
  }
}

/** @param {Own[]} own */
function keep(own) {
  try {
    localStorage.setItem(KEY, JSON.stringify(own.slice(0, MOST)));
  } catch {
    // The browser has no storage; the host link still works.
  }
}

/** @param {string} meeting @param {string} token */
export function rememberMeeting(meeting, token) {
  keep([{ meeting, token }, ...ownMeetings().filter((one) => one.meeting !== meeting)]);
}

/**
 * A meeting is kept until a day after its end: that of the last occurrence, which is known once it is over.
 *
 * @param {{meeting: string, endsAt: string, state: string, recurrence: string | null}} seen
 */
export function noteMeetingEnd({ meeting, endsAt, state, recurrence }) {
  const isOver = state !== 'scheduled' && state !== 'open';
  // The planned end does not close a meeting: it may still be open.
  const until = recurrence !== null && !isOver ? undefined : keptUntil(endsAt, state === 'open');
  keep(ownMeetings().map((one) => (one.meeting === meeting ? { ...one, until } : one)));
}

/** @param {string} meeting */
export function forgetMeeting(meeting) {
  keep(ownMeetings().filter((one) => one.meeting !== meeting));
}

/**
 * The host token of a meeting: from the URL's fragment, which is removed from the address bar, or from the storage.
 *
 * @param {string} meeting
 * @returns {string | null}
 */
export function meetingToken(meeting) {
  const token = new URLSearchParams(location.hash.slice(1)).get('host');
  if (token) {
    rememberMeeting(meeting, token);
    history.replaceState(history.state, '', location.pathname + location.search);
    return token;
  }
  return ownMeetings().find((one) => one.meeting === meeting)?.token ?? null;
}
