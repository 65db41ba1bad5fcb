/** @param {string} room */
const key = (room) => `visavis.token.${room}`;

/** @type {Map<string, string>} for browsers that keep nothing */
const taken = new Map();

/**
 * The join token of a room: from the URL's fragment, which is removed from the address bar, or from the storage.
 *
 * @param {string} room
 * @returns {string | null}
 */
export function joinTokenOf(room) {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get('token');
  if (token) {
    takeJoinToken(room, token);
    fragment.delete('token');
    const rest = fragment.size > 0 ? `#${fragment}` : '';
    history.replaceState(history.state, '', location.pathname + location.search + rest);
  }
  try {
    return token ?? sessionStorage.getItem(key(room)) ?? taken.get(room) ?? null;
  } catch {
    return token ?? taken.get(room) ?? null;
  }
}

/** @param {string} room @param {string} token */
export function takeJoinToken(room, token) {
  taken.set(room, token);
  try {
    sessionStorage.setItem(key(room), token);
  } catch {
    // Without storage, it lasts as long as the page.
  }
}
