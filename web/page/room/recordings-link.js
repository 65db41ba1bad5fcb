import { roomPath } from '../base/root.js';

/**
 * The page of a room's recordings, with the token in the fragment, which servers do not see.
 *
 * @param {string} room
 * @param {string | null} token
 */
export function recordingsLink(room, token) {
  const fragment = token ? `#${new URLSearchParams({ host: token })}` : '';
  return `${roomPath(room)}/recordings${fragment}`;
}
