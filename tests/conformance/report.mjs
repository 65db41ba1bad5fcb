// What became of each rule, as text and as JSON.

import { DOCUMENTS, rulesOf } from './rules.mjs';

export const OUTCOMES = ['passed', 'failed', 'warning', 'not offered', 'not tested'];

export class Report {
  #rules;
  #outcomes = new Map();

  constructor(protocol, url) {
    this.protocol = protocol;
    this.url = url;
    this.#rules = rulesOf(protocol);
  }

  has(id) {
    return this.#rules.has(id);
  }

  /** A rule was checked. If it is checked more than once, a violation stays. */
  holds(id, holds, found) {
    const rule = this.#rules.get(id);
    if (!rule || ['failed', 'warning'].includes(this.#outcomes.get(id)?.outcome)) return;
    const broken = { MUST: 'failed', SHOULD: 'warning', MAY: 'not offered' }[rule.level];
    this.#outcomes.set(id, { outcome: holds ? 'passed' : broken, found });
  }

  /** The server leaves out what it may leave out. */
  notOffered(ids, found) {
    this.#set(ids, 'not offered', found);
  }

  notTested(ids, found) {
    this.#set(ids, 'not tested', found);
  }

  #set(ids, outcome, found) {
    for (const id of [ids].flat()) if (this.has(id) && !this.#outcomes.has(id)) this.#outcomes.set(id, { outcome, found });
  }

  results() {
    const missing = { outcome: 'not tested', found: 'what it follows from did not happen' };
    return [...this.#rules.values()].map((rule) => ({ ...rule, ...(this.#outcomes.get(rule.id) ?? missing) }));
  }

  /** The ids of the rules with an outcome. */
  idsOf(outcome) {
    return this.results().filter((result) => result.outcome === outcome).map(({ id }) => id);
  }

  counts() {
    return Object.fromEntries(OUTCOMES.map((outcome) => [outcome, this.idsOf(outcome).length]));
  }

  toJSON() {
    const { protocol, url } = this;
    return { protocol, url, document: DOCUMENTS[protocol], counts: this.counts(), results: this.results() };
  }

  toString() {
    const lines = [`${this.protocol.toUpperCase()} at ${this.url}, by ${DOCUMENTS[this.protocol]}`, ''];
    for (const { id, section, level, expected, outcome, found } of this.results()) {
      lines.push(`${outcome.padEnd(11)} ${section.padEnd(6)} ${level.padEnd(6)} ${id.padEnd(21)} ${expected}`);
      if (outcome !== 'passed') lines.push(`${''.padEnd(26)}found: ${found}`);
    }
    lines.push('', Object.entries(this.counts()).map(([outcome, count]) => `${count} ${outcome}`).join(', '));
    return lines.join('\n');
  }
}
