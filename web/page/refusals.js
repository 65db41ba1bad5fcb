import { t } from './i18n.js';

const KNOWN = new Set([
  'name-invalid', 'unauthorized', 'forbidden', 'room-locked', 'wrong-password', 'not-started', 'not-found', 'room-full',
  'room-ended', 'rate-limited', 'overloaded', 'invalid-state', 'peer-unknown',
]);

/**
 * Why the server did not let somebody in, in words for people.
 *
 * @param {string} code
 * @param {boolean} [guessed] a password was given
 * @returns {string}
 */
export function refusalText(code, guessed = false) {
  if (code === 'wrong-password' && !guessed) return t('refused.password-needed');
  return t(KNOWN.has(code) ? `refused.${code}` : 'refused.other');
}
