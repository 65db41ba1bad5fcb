/** The alphabet of codes. */
const LETTERS = '23456789cdfhjkmnprtvwxy';
/** A group of a code, or one with a character too many or too few. */
const GROUP = `[${LETTERS}]{2,4}`;
const GROUPS = new RegExp(`^${GROUP}-${GROUP}-${GROUP}$`);
const WHOLE = new RegExp(`^[${LETTERS}]{9}$`);

/**
 * The meeting whose page somebody's link leads to.
 *
 * @param {string} text
 * @returns {string | null}
 */
export const meetingOf = (text) => /\/m\/([a-z0-9]{16})(?![\w-])/.exec(text)?.[1] ?? null;

/**
 * The room that somebody means who typed a name or a code, or pasted a link. Whether a room can have that name is the
 * server's to say.
 *
 * @param {string} text
 * @returns {string | null}
 */
export function roomOf(text) {
  const trimmed = text.trim();
  const path = /\/r\/([^/?#]+)/.exec(trimmed)?.[1];
  try {
    const name = path === undefined ? codeOf(trimmed) ?? trimmed : decodeURIComponent(path);
    // A path segment of dots, or a lone surrogate, cannot stand in an address.
    return name && !/^\.\.?$/.test(name) && encodeURIComponent(name) ? name : null;
  } catch {
    return null;
  }
}

/**
 * The code that somebody typed with or without its dashes, as codes are written.
 *
 * @param {string} text
 * @returns {string | null}
 */
function codeOf(text) {
  const letters = text.toLowerCase().replace(/[\s\u2013-]/g, '');
  return WHOLE.test(letters) && /\d/.test(letters) ? letters.replace(/(...)(...)(...)/, '$1-$2-$3') : null;
}

/**
 * Whether a name is a code, or one with a slip: a wrong character in it, or one too many or too few.
 *
 * @param {string} name
 */
export function mayBeCode(name) {
  const lower = name.toLowerCase();
  if (!/\d/.test(lower)) return false;
  const length = lower.length - 2;
  return /^[a-z0-9]{3}-[a-z0-9]{3}-[a-z0-9]{3}$/.test(lower) || (GROUPS.test(lower) && length >= 8 && length <= 10);
}

/**
 * The link that somebody passes on: from a broadcast, that to watch it.
 *
 * @param {import('../../sdk/protocol.js').Role} role
 */
export function linkFor(role) {
  return `${location.origin}${location.pathname}${role === 'participant' ? '' : '?role=viewer'}`;
}
