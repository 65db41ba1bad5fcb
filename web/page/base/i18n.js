import { preferences } from '../storage/preferences.js';

/** The languages with a catalogue, by their own names. */
export const LANGUAGES = { en: 'English', de: 'Deutsch', es: 'Español', ar: 'العربية' };
const RIGHT_TO_LEFT = new Set(['ar']);

/** @typedef {keyof typeof LANGUAGES} Language */

/** @type {Record<string, string>} */
let catalogue = {};
/** @type {Record<string, string>} */
let english = {};
/** @type {string} */
let language = 'en';

/** Loads the catalogue of the user's language, and the English one for missing texts. */
export async function loadCatalogue() {
  language = preferredLanguage();
  english = await fetchCatalogue('en');
  catalogue = language === 'en' ? english : await fetchCatalogue(language);
  document.documentElement.lang = language;
  document.documentElement.dir = RIGHT_TO_LEFT.has(language) ? 'rtl' : 'ltr';
  for (const element of document.querySelectorAll('[data-text]')) {
    element.textContent = t(element.getAttribute('data-text') ?? '');
  }
}

/**
 * A text in the user's language.
 *
 * @param {string} key
 * @param {Record<string, string | number>} [values] put in the place of `{name}`
 * @returns {string}
 */
export function t(key, values = {}) {
  let text = catalogue[key] ?? english[key] ?? key;
  if (typeof values.count === 'number') {
    const form = `${key}.${pluralCategory(values.count)}`;
    text = catalogue[form] ?? catalogue[`${key}.other`] ?? english[form] ?? text;
  }
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? isolated(String(values[name])) : whole));
}

/**
 * Isolates a value that is written in the other direction, so that it does not change the direction of its sentence.
 *
 * @param {string} value
 */
function isolated(value) {
  const foreign = RIGHT_TO_LEFT.has(language) ? /\p{Script=Latin}|\p{Script=Cyrillic}|\p{Script=Greek}|\p{Script=Han}/u : /\p{Script=Arabic}|\p{Script=Hebrew}/u;
  return foreign.test(value) ? `\u2068${value}\u2069` : value;
}

/** @param {number} count */
function pluralCategory(count) {
  if (typeof Intl.PluralRules !== 'function') return count === 1 ? 'one' : 'other';
  return new Intl.PluralRules(language).select(count);
}

/** The language in use as a tag for `Intl`, with the country whose date formats the user expects. */
export const languageTag = () => navigator.languages.find((tag) => tag.split('-')[0] === language) ?? language;

/** @param {Date} date */
export function timeOfDay(date) {
  return new Intl.DateTimeFormat(languageTag(), { timeStyle: 'short' }).format(date);
}

/** @param {Date} date */
export function dateAndTime(date) {
  return new Intl.DateTimeFormat(languageTag(), { dateStyle: 'medium', timeStyle: 'short' }).format(date);
}

/** @returns {string} */
function preferredLanguage() {
  const wanted = [preferences.language, ...navigator.languages];
  return wanted.map((tag) => tag.split('-')[0] ?? '').find((tag) => tag in LANGUAGES) ?? 'en';
}

/** @param {string} name */
async function fetchCatalogue(name) {
  const response = await fetch(new URL(`../locales/${name}.json`, import.meta.url));
  return response.ok ? response.json() : {};
}
