/** The alphabet of codes. */
const LETTERS = '23456789cdfhjkmnprtvwxy';
/** A group of a code, possibly with one character too many or too few. */
const GROUP = `[${LETTERS}]{2,4}`;
const GROUPS = new RegExp(`^${GROUP}-${GROUP}-${GROUP}$`);
const WHOLE = new RegExp(`^[${LETTERS}]{9}$`);

/**
 * The meeting whose page a link leads to.
 *
 * @param {string} text
 * @returns {string | null}
 */
export const meetingOf = (text) => /\/m\/([a-z0-9]{16})(?![\w-])/.exec(text)?.[1] ?? null;

/**
 * The room named by the user's input: a name, a code or a link. The server decides whether a room can have that name.
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
 * An entered code, with its dashes added.
 *
 * @param {string} text
 * @returns {string | null}
 */
function codeOf(text) {
  const letters = text.toLowerCase().replace(/[\s\u2013-]/g, '');
  return WHOLE.test(letters) && /\d/.test(letters) ? letters.replace(/(...)(...)(...)/, '$1-$2-$3') : null;
}

/**
 * Whether a name is a code, or one with a typing error: a wrong, an additional or a missing character.
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
 * The link for inviting others; of a broadcast, the link for viewers.
 *
 * @param {import('../../sdk/protocol.js').Role} role
 */
export function linkFor(role) {
  return `${location.origin}${location.pathname}${role === 'participant' ? '' : '?role=viewer'}`;
}
