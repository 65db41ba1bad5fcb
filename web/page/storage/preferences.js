const KEY = 'visavis.preferences';

const DEFAULTS = {
  name: '',
  language: '',
  camera: '',
  microphone: '',
  speaker: '',
  microphoneOn: true,
  cameraOn: true,
  shortcuts: true,
  layout: 'grid',
};

/** @typedef {typeof DEFAULTS} Preferences */

/** What the user chose last time, in this browser. @type {Preferences} */
export const preferences = read();

/** @param {Partial<Preferences>} changes */
export function remember(changes) {
  Object.assign(preferences, changes);
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences));
  } catch {
    // A browser that keeps nothing, in private windows for example. The choice holds for this page.
  }
}

/** Everything as if nothing had ever been chosen. What was kept is the caller's to erase. */
export function forgetPreferences() {
  Object.assign(preferences, DEFAULTS);
}

/** @returns {Preferences} */
function read() {
  /** @type {Record<string, unknown>} */
  let stored = {};
  try {
    stored = JSON.parse(localStorage.getItem(KEY) ?? '{}') ?? {};
  } catch {
    // As above, or something else wrote there.
  }
  const known = Object.entries(DEFAULTS).map(([key, fallback]) => {
    const value = stored[key];
    return [key, typeof value === typeof fallback ? value : fallback];
  });
  return Object.fromEntries(known);
}
