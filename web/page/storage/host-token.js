const KEY = 'visavis.hosts';
const MOST = 50;
const DAY_MS = 86_400_000;
/** A room that was not used for this time, in milliseconds, counts as ended. */
const FORGOTTEN_MS = 30 * DAY_MS;

/**
 * Host tokens by room, which this browser keeps as long as the rooms live: a page that is closed and opened again has its
 * former powers.
 *
 * @typedef {{token: string, until: number}} Kept until when, in milliseconds since 1970
 */

/** @returns {Record<string, Kept>} */
function read() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    const good = Object.entries(stored ?? {}).filter(([, kept]) => typeof kept?.token === 'string' && kept.until > Date.now());
    return Object.fromEntries(good);
  } catch {
    return {};
  }
}

/** @param {Record<string, Kept>} hosts */
function write(hosts) {
  const newest = Object.entries(hosts).sort(([, one], [, other]) => other.until - one.until).slice(0, MOST);
  try {
    if (newest.length > 0) localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(newest)));
    else localStorage.removeItem(KEY);
  } catch {
    // Without storage, the powers last as long as the page.
  }
}

/**
 * Until when the host token of a meeting is kept: a day after its end.
 *
 * @param {string | undefined} endsAt RFC 3339
 * @param {boolean} [isOpen] it has not ended yet, whatever its planned end
 * @returns {number | undefined}
 */
export function keptUntil(endsAt, isOpen = true) {
  if (!endsAt) return undefined;
  return (isOpen ? Math.max(Date.parse(endsAt), Date.now()) : Date.parse(endsAt)) + DAY_MS;
}

/**
 * Keeps a room's host token in this browser.
 *
 * @param {string} room
 * @param {string} token
 * @param {number} [until] in milliseconds since 1970
 */
export function takeHostToken(room, token, until = Date.now() + FORGOTTEN_MS) {
  write({ ...read(), [room]: { token, until } });
  forgetInTab(room);
}

/** @param {string} room */
export function dropHostToken(room) {
  const { [room]: _, ...others } = read();
  write(others);
  forgetInTab(room);
}

/**
 * The host token of a room: from the URL's fragment, which is removed from the address bar, or from the storage.
 *
 * @param {string} room
 * @returns {string | null}
 */
export function hostTokenOf(room) {
  const token = takeFromAddress();
  if (token) takeHostToken(room, token);
  return token ?? inTab(room) ?? read()[room]?.token ?? null;
}

/**
 * The same for a page about a room that may have ended: a token from its address stays in the tab.
 *
 * @param {string} room
 * @returns {string | null}
 */
export function tabHostToken(room) {
  const token = takeFromAddress();
  if (token) lendHostToken(room, token);
  return token ?? inTab(room) ?? read()[room]?.token ?? null;
}

/**
 * Passes a token that the browser no longer keeps to the next page of this tab.
 *
 * @param {string} room
 * @param {string} token
 */
export function lendHostToken(room, token) {
  try {
    sessionStorage.setItem(`${KEY}.${room}`, token);
  } catch {
    // The next page then has no powers.
  }
}

/** @param {string} room @returns {string | null} */
function inTab(room) {
  try {
    return sessionStorage.getItem(`${KEY}.${room}`);
  } catch {
    return null;
  }
}

/** @param {string} room */
function forgetInTab(room) {
  try {
    sessionStorage.removeItem(`${KEY}.${room}`);
  } catch {
    // Nothing was stored.
  }
}

/** @returns {string | null} */
function takeFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get('host');
  if (token) history.replaceState(history.state, '', location.pathname + location.search);
  return token;
}
