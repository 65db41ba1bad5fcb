import { h } from '../../base/dom.js';

const LINK = /\bhttps?:\/\/[^\s<>"“”«»]+/giu;
/** What ends a sentence, and a bracket that was opened before the link. */
const TRAILING = /[.,;:!?'’)\]}…]+$/u;

/**
 * A text of somebody else's, in which addresses are links. Nothing of them is fetched, and the page behind one learns
 * neither of this page nor how to reach it.
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
  // An address of an encyclopedia ends with a bracket of its own.
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
