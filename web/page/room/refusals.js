import { t } from '../base/i18n.js';
import { mayBeCode } from './room-link.js';

const KNOWN = new Set([
  'name-invalid', 'unauthorized', 'forbidden', 'room-locked', 'wrong-password', 'not-started', 'not-found', 'room-full',
  'room-ended', 'rate-limited', 'overloaded', 'invalid-state', 'peer-unknown',
]);

/** The reasons why an invitation is refused. */
const REASONS = new Set(['invitation-needed', 'expired', 'other-room']);

/**
 * The server's refusal as a sentence for the user.
 *
 * @param {string} code
 * @param {{guessed?: boolean, room?: string, ownOrigin?: string | undefined, reason?: string | undefined}} [about] whether a
 *   password was given, what room was asked for, what the server takes for its own address where it refused this page's, and
 *   what is wrong with a token
 * @returns {string}
 */
export function refusalText(code, { guessed = false, room = '', ownOrigin, reason } = {}) {
  if (ownOrigin) return t('refused.wrong-origin', { own: ownOrigin, here: location.origin });
  if (code === 'unauthorized' && reason && REASONS.has(reason)) return t(`refused.${reason}`);
  if (code === 'wrong-password' && !guessed) return t('refused.password-needed');
  if (code === 'not-found' && mayBeCode(room)) return t('refused.no-code');
  return t(KNOWN.has(code) ? `refused.${code}` : 'refused.other');
}
