/**
 * One or two letters for the avatar of somebody without a camera.
 *
 * @param {string} name
 * @returns {string}
 */
export function initials(name) {
  // Brackets and quotation marks do not count as letters.
  const words = name.split(/\s+/).map((word) => word.replace(/^[\p{P}\u2066-\u2069]+/u, '')).filter(Boolean);
  const letters = [words[0], words.length > 1 ? words[words.length - 1] : undefined];
  return letters.map((word) => [...(word ?? '')][0] ?? '').join('').toLocaleUpperCase();
}

/**
 * One of the eight colours for avatars, always the same for one id.
 *
 * @param {string} id
 * @returns {number} 0 to 7
 */
export function hueOf(id) {
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) >>> 0;
  return sum % 8;
}
