/**
 * @typedef {import('../../sdk/protocol.js').Room} Room
 */

/** The form of an id made by the server, which is not meant to be read aloud. */
const MADE = /^[0-9a-hjkmnp-tv-z]{20}$/;

/** Short, common words that are hard to confuse. */
const WORDS = [
  ['amber', 'blue', 'bold', 'brave', 'bright', 'calm', 'clear', 'clever', 'copper', 'coral', 'crisp', 'early', 'fair', 'gentle', 'golden', 'grand', 'green', 'happy', 'honest', 'jolly',
    'kind', 'light', 'lively', 'lucky', 'merry', 'mild', 'neat', 'noble', 'proud', 'quick', 'quiet', 'ready', 'red', 'silver', 'smart', 'smooth', 'snug', 'sunny', 'swift', 'tidy', 'warm', 'wise'],
  ['alpine', 'apple', 'autumn', 'bamboo', 'birch', 'cedar', 'cherry', 'clover', 'coast', 'cotton', 'delta', 'desert', 'ember', 'fern', 'forest', 'garden', 'harbour', 'hazel', 'island', 'ivory',
    'lake', 'lemon', 'lilac', 'maple', 'marble', 'meadow', 'mint', 'moss', 'mountain', 'ocean', 'olive', 'orchard', 'pebble', 'pepper', 'pine', 'river', 'rose', 'sage', 'spring', 'summer', 'valley', 'willow'],
  ['badger', 'bear', 'beaver', 'bison', 'camel', 'crane', 'deer', 'dolphin', 'eagle', 'falcon', 'finch', 'fox', 'gecko', 'goose', 'hare', 'hawk', 'heron', 'horse', 'ibis', 'koala',
    'lark', 'lion', 'llama', 'lynx', 'magpie', 'marten', 'moose', 'newt', 'otter', 'owl', 'panda', 'pony', 'puffin', 'quail', 'raven', 'robin', 'seal', 'stork', 'swan', 'tiger', 'turtle', 'wren'],
];

/**
 * The displayed name of a room: its meeting's title, the name that somebody chose, or, for an id made by the server, three
 * words that are the same for everybody. The words are only displayed: id and link are unchanged.
 *
 * @param {Pick<Room, 'id'> & Partial<Room>} room
 * @returns {string}
 */
export function titleOf({ id, name, title }) {
  if (title) return title;
  return MADE.test(id) ? threeWords(id) : (name ?? id);
}

/**
 * Three words, always the same for one id; without one, any three.
 *
 * @param {string} [id]
 */
export function threeWords(id = crypto.getRandomValues(new Uint32Array(2)).join()) {
  let hash = 0x811c9dc5;
  for (const letter of id) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193) >>> 0;
  const words = WORDS.map((list) => {
    const word = list[hash % list.length] ?? '';
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
    return word;
  }).join(' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const KEY = 'visavis.titles';

/**
 * Stores the title of a room's meeting for this tab: the meeting's page knows it before the user joins.
 *
 * @param {string} room its code
 * @param {string} title
 */
export function noteTitle(room, title) {
  try {
    sessionStorage.setItem(`${KEY}.${room}`, title);
  } catch {
    // The title is shown once the user has joined.
  }
}

/** @param {string} room @returns {string | undefined} */
export function notedTitle(room) {
  try {
    return sessionStorage.getItem(`${KEY}.${room}`) ?? undefined;
  } catch {
    return undefined;
  }
}
