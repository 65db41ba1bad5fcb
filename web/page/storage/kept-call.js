const KEY = 'visavis.call';

let forgotten = false;

/**
 * The call that a page was in when it was loaded again: where, as whom, and with which devices.
 *
 * @typedef {object} KeptCall
 * @property {string} room
 * @property {string} name
 * @property {string} [password]
 * @property {boolean} microphone
 * @property {boolean} camera
 */

/** Keeps the call for this tab while the page is loaded again. @param {KeptCall} call */
export function keepCall(call) {
  if (forgotten) return;
  try {
    sessionStorage.setItem(KEY, JSON.stringify(call));
  } catch {
    // Then the reloaded page begins before the call.
  }
}

/** The page that is loaded next begins before the call. */
export function forgetCall() {
  forgotten = true;
}

/**
 * Takes the kept call out of the tab. Only a reload comes back by itself: whoever opens the address anew is asked first.
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
