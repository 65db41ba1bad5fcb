/** The root of the server's pages: the path of its public address. */
const ROOT = new URL('../../', import.meta.url);

/**
 * The path of a page or resource of the server.
 *
 * @param {string} path without a slash at its beginning; empty for the landing page
 */
export const at = (path = '') => ROOT.pathname + path;

/** The page of a room. @param {string} room its name or code */
export const roomPath = (room) => at(`r/${encodeURIComponent(room)}`);

/** The name in the address of this page: the room of `/r/{room}`, or the meeting of `/m/{meeting}`. */
export const nameInAddress = () => decodeURIComponent(location.pathname.slice(ROOT.pathname.length).split('/')[1] ?? '');
