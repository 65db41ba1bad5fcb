const KEY = 'visavis.call';

let forgotten = false;

/**
 * The call that a page was in when it was reloaded: room, name and devices.
 *
 * @typedef {object} KeptCall
 * @property {string} room
 * @property {string} name
 * @property {string} [password]
 * @property {boolean} microphone
 * @property {boolean} camera
 */

/** Stores the call for this tab while the page is reloaded. @param {KeptCall} call */
export function keepCall(call) {
  if (forgotten) return;
  try {
    sessionStorage.setItem(KEY, JSON.stringify(call));
  } catch {
    // The reloaded page then starts with the pre-join screen.
  }
}

/** The next page starts with the pre-join screen. */
export function forgetCall() {
  forgotten = true;
}

/**
 * Removes the stored call from the tab. Only a reload returns into the call by itself; a new visit shows the pre-join screen.
 *
 * @param {string} room
 * @returns {KeptCall | null}
 */
export function takeCall(room) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? 'null');
    sessionStorage.removeItem(KEY);
    const [navigation] = performance.getEntriesByType('navigation');
    const reloaded = /** @type {PerformanceNavigationTiming | undefined} */ (navigation)?.type === 'reload';
    return reloaded && kept?.room === room && typeof kept.name === 'string' ? kept : null;
  } catch {
    return null;
  }
}
