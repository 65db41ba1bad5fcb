const KEY = 'visavis.meetings';
const MOST = 100;

/** @typedef {{meeting: string, token: string}} Own */

/** The meetings that were made in this browser or opened by their host link, the newest first. @returns {Own[]} */
export function ownMeetings() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(stored) ? stored.filter((one) => typeof one?.meeting === 'string' && typeof one?.token === 'string') : [];
  } catch {
    return [];
  }
}

/** @param {Own[]} own */
function keep(own) {
  try {
    localStorage.setItem(KEY, JSON.stringify(own.slice(0, MOST)));
  } catch {
    // A browser that keeps nothing: the host link is still good.
  }
}

/** @param {string} meeting @param {string} token */
export function rememberMeeting(meeting, token) {
  keep([{ meeting, token }, ...ownMeetings().filter((one) => one.meeting !== meeting)]);
}

/** @param {string} meeting */
export function forgetMeeting(meeting) {
  keep(ownMeetings().filter((one) => one.meeting !== meeting));
}

/**
 * The host token of a meeting: from the URL's fragment, which is taken out of the address bar, or from before.
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
