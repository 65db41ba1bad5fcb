/** @param {string} room */
const key = (room) => `visavis.host.${room}`;

/**
 * Keeps a room's host token for this browser tab.
 *
 * @param {string} room
 * @param {string} token
 */
export function takeHostToken(room, token) {
  try {
    sessionStorage.setItem(key(room), token);
  } catch {
    // Without storage the powers last as long as the page.
  }
}

/**
 * The host token of a room: from the URL's fragment, which is taken out of the address bar, or from before.
 *
 * @param {string} room
 * @returns {string | null}
 */
export function hostTokenOf(room) {
  const token = new URLSearchParams(location.hash.slice(1)).get('host');
  if (token) {
    takeHostToken(room, token);
    history.replaceState(history.state, '', location.pathname + location.search);
    return token;
  }
  try {
    return sessionStorage.getItem(key(room));
  } catch {
    return null;
  }
}

/** @param {string} room */
export function dropHostToken(room) {
  try {
    sessionStorage.removeItem(key(room));
  } catch {
    // Nothing was kept.
  }
}
