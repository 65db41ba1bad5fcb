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
  dataSaving: 'all',
};

/** @typedef {typeof DEFAULTS} Preferences */

/** The user's last choices in this browser. @type {Preferences} */
export const preferences = read();

/** @param {Partial<Preferences>} changes */
export function remember(changes) {
  Object.assign(preferences, changes);
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences));
  } catch {
    // The browser has no storage, as in some private windows. The choice lasts as long as the page.
  }
}

/** Resets the preferences to their defaults. The caller erases the storage. */
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
    // There is no storage, or its content is not ours.
  }
  const known = Object.entries(DEFAULTS).map(([key, fallback]) => {
    const value = stored[key];
    return [key, typeof value === typeof fallback ? value : fallback];
  });
  return Object.fromEntries(known);
}

/** What the user wants to spend on pictures. @returns {import('../../sdk/data-saving.js').SavingLevel} */
export function savingLevel() {
  const { dataSaving } = preferences;
  return dataSaving === 'low' || dataSaving === 'sound' ? dataSaving : 'all';
}
