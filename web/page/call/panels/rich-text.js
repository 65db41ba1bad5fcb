import { h } from '../../base/dom.js';

const LINK = /\bhttps?:\/\/[^\s<>"“”«»]+/giu;
/** Punctuation after a link that belongs to the sentence, and a closing bracket opened before the link. */
const TRAILING = /[.,;:!?'’)\]}…]+$/u;

/**
 * Turns the addresses in a text into links. The page fetches nothing from them, and a linked page gets neither a referrer
 * nor a handle of this window.
 *
 * @param {string} text
 * @returns {(string | HTMLAnchorElement)[]}
 */
export function withLinks(text) {
  /** @type {(string | HTMLAnchorElement)[]} */
  const parts = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(LINK)) {
    const address = trimmed(found);
    const href = hrefOf(address);
    if (!href) continue;
    parts.push(text.slice(end, index), h('a', { href, target: '_blank', rel: 'noopener noreferrer nofollow', dir: 'ltr' }, address));
    end = index + address.length;
  }
  return [...parts, text.slice(end)].filter((part) => part !== '');
}

/** @param {string} found */
function trimmed(found) {
  const short = found.replace(TRAILING, '');
  // Some addresses, as those of Wikipedia, end with a closing bracket of their own.
  return short.split('(').length > short.split(')').length && found[short.length] === ')' ? `${short})` : short;
}

/** @param {string} address */
function hrefOf(address) {
  try {
    return new URL(address).href;
  } catch {
    return null;
  }
}
