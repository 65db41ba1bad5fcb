const ROOM = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * The meeting whose page somebody's link leads to.
 *
 * @param {string} text
 * @returns {string | null}
 */
export const meetingOf = (text) => /\/m\/([a-z0-9]{16})(?![\w-])/.exec(text)?.[1] ?? null;

/**
 * The room that somebody means who typed a name or pasted a link.
 *
 * @param {string} text
 * @returns {string | null}
 */
export function roomOf(text) {
  const trimmed = text.trim();
  const path = /\/r\/([^/?#]+)/.exec(trimmed)?.[1];
  const name = path ?? trimmed.replace(/\s+/g, '-');
  return ROOM.test(name) ? name : null;
}

/**
 * The link that somebody passes on: from a broadcast, that to watch it.
 *
 * @param {import('../sdk/protocol.js').Role} role
 */
export function linkFor(role) {
  return `${location.origin}${location.pathname}${role === 'participant' ? '' : '?role=viewer'}`;
}
