import { h, setText } from '../base/dom.js';
import { t } from '../base/i18n.js';

/** How long a sentence stays, by its length and at least and at most. */
const CHARACTER_MS = 70;
const SHORTEST_MS = 3000;
const LONGEST_MS = 12_000;
/** The most sentences that are shown. */
const MOST = 3;

/**
 * Captions over the lower edge of the stage: a line for each sentence, which grows until it is final and then stays for
 * as long as reading it takes.
 */
export class Captions {
  element = h('div', { class: 'captions', role: 'log', 'aria-label': t('call.captions'), hidden: true });
  /** The sentences that grow, by source. @type {Map<string, Sentence>} */
  #growing = new Map();
  /** All that are shown, the oldest first. @type {Sentence[]} */
  #shown = [];

  /** @param {import('../../sdk/index.js').Call} call */
  constructor(call) {
    call.on('caption', ({ source, text, final }) => {
      const sentence = this.#growing.get(source) ?? this.#begin(source, call.peer(source)?.name ?? this.#own(call, source));
      setText(sentence.text, text);
      this.#keep(sentence, text.length);
      if (final) this.#growing.delete(source);
    });
  }

  /** @param {import('../../sdk/index.js').Call} call @param {string} source */
  #own({ self }, source) {
    return source === self?.id ? self.name : source;
  }

  /** @param {string} source @param {string} name */
  #begin(source, name) {
    const text = h('span', { dir: 'auto' });
    const sentence = { source, text, line: h('p', {}, h('b', { dir: 'auto' }, name), ' ', text), timer: 0 };
    this.#growing.set(source, sentence);
    this.#shown.push(sentence);
    this.element.append(sentence.line);
    this.#shown.slice(0, -MOST).forEach((old) => this.#end(old));
    this.element.hidden = false;
    return sentence;
  }

  /** @param {Sentence} sentence @param {number} length */
  #keep(sentence, length) {
    clearTimeout(sentence.timer);
    sentence.timer = setTimeout(() => this.#end(sentence), Math.min(Math.max(length * CHARACTER_MS, SHORTEST_MS), LONGEST_MS));
  }

  /** @param {Sentence} sentence */
  #end(sentence) {
    clearTimeout(sentence.timer);
    sentence.line.remove();
    this.#shown = this.#shown.filter((shown) => shown !== sentence);
    if (this.#growing.get(sentence.source) === sentence) this.#growing.delete(sentence.source);
    this.element.hidden = this.#shown.length === 0;
  }
}

/** @typedef {{source: string, text: HTMLElement, line: HTMLElement, timer: number}} Sentence */
