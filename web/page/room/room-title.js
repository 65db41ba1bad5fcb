/**
 * @typedef {import('../../sdk/protocol.js').Room} Room
 */

/** The form of an id that the server made, which people do not read or say aloud. */
const MADE = /^[0-9a-hjkmnp-tv-z]{20}$/;

/** Words that are short, plain and hard to mistake for each other. */
const WORDS = [
  ['amber', 'blue', 'bold', 'brave', 'bright', 'calm', 'clear', 'clever', 'copper', 'coral', 'crisp', 'early', 'fair', 'gentle', 'golden', 'grand', 'green', 'happy', 'honest', 'jolly',
    'kind', 'light', 'lively', 'lucky', 'merry', 'mild', 'neat', 'noble', 'proud', 'quick', 'quiet', 'ready', 'red', 'silver', 'smart', 'smooth', 'snug', 'sunny', 'swift', 'tidy', 'warm', 'wise'],
  ['alpine', 'apple', 'autumn', 'bamboo', 'birch', 'cedar', 'cherry', 'clover', 'coast', 'cotton', 'delta', 'desert', 'ember', 'fern', 'forest', 'garden', 'harbour', 'hazel', 'island', 'ivory',
    'lake', 'lemon', 'lilac', 'maple', 'marble', 'meadow', 'mint', 'moss', 'mountain', 'ocean', 'olive', 'orchard', 'pebble', 'pepper', 'pine', 'river', 'rose', 'sage', 'spring', 'summer', 'valley', 'willow'],
  ['badger', 'bear', 'beaver', 'bison', 'camel', 'crane', 'deer', 'dolphin', 'eagle', 'falcon', 'finch', 'fox', 'gecko', 'goose', 'hare', 'hawk', 'heron', 'horse', 'ibis', 'koala',
    'lark', 'lion', 'llama', 'lynx', 'magpie', 'marten', 'moose', 'newt', 'otter', 'owl', 'panda', 'pony', 'puffin', 'quail', 'raven', 'robin', 'seal', 'stork', 'swan', 'tiger', 'turtle', 'wren'],
];

/**
 * What people call a room: its meeting's title, the name that somebody chose, or, for an id that the server made, three
 * words that everybody is shown for it. The words are for people alone: id and link stay what they are.
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
 * Notes, for this tab, what a room's meeting is called: its page knows it before anybody is in.
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
