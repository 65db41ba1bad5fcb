const KEY = 'visavis.client';

/** @type {string | null} */
let current = null;
let forgotten = false;

/**
 * A secret of this tab that survives a reload, so that the reloaded page replaces the former one. It is stored only while
 * the page is being unloaded: a duplicated tab is another client.
 *
 * @returns {string}
 */
export function clientId() {
  if (current) return current;
  current = restore() ?? random();
  return current;
}

/** @returns {string | null} */
function restore() {
  try {
    const stored = sessionStorage.getItem(KEY);
    sessionStorage.removeItem(KEY);
    return stored;
  } catch {
    return null;
  }
}

function random() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The next page is another client. */
export function forgetClientId() {
  forgotten = true;
}

addEventListener('pagehide', () => {
  try {
    if (current && !forgotten) sessionStorage.setItem(KEY, current);
  } catch {
    // Then the reloaded page is a new client.
  }
});
