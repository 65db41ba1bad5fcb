/**
 * The order of people who do not fit on one page: raised hands first, then the latest speakers, in place of those on the
 * first page who have been quiet for longest. All others keep their places.
 */
export class Crowd {
  /** @type {string[]} */
  #order = [];
  /** @type {string[]} raised hands, the first one first */
  #hands = [];
  /** @type {Map<string, number>} when somebody spoke up last, counted in turns */
  #spoke = new Map();
  #turn = 0;
  #own;

  /** @param {string} own the user, who stays on the first page in any case */
  constructor(own) {
    this.#own = own;
  }

  /** @param {Iterable<string>} speaking */
  heard(speaking) {
    this.#turn += 1;
    for (const id of speaking) this.#spoke.set(id, this.#turn);
  }

  /**
   * @param {string[]} present in order of joining
   * @param {Set<string>} hands peers with a raised hand, and screens
   * @param {number} perPage the number that the first page shows
   * @param {boolean} [held] the order must not change now, since the pointer is over it
   * @returns {string[]} the same, in order of the pages
   */
  arrange(present, hands, perPage, held = false) {
    const there = new Set(present);
    for (const id of this.#spoke.keys()) if (!there.has(id)) this.#spoke.delete(id);
    if (present.length <= perPage) this.#order = [];
    const known = new Set(this.#order);
    const kept = [...this.#order.filter((id) => there.has(id)), ...present.filter((id) => !known.has(id))];
    if (present.length <= perPage || held) return (this.#order = kept);
    this.#hands = [...this.#hands.filter((id) => hands.has(id) && there.has(id)), ...kept.filter((id) => hands.has(id) && !this.#hands.includes(id))];
    const raised = new Set(this.#hands);
    this.#order = [...this.#hands, ...kept.filter((id) => !raised.has(id))];
    this.#bringSpeakers(perPage, raised);
    return this.#order;
  }

  /** @param {number} perPage @param {Set<string>} raised */
  #bringSpeakers(perPage, raised) {
    const since = (/** @type {string} */ id) => this.#spoke.get(id) ?? 0;
    const places = Math.max(0, perPage - raised.size);
    const spoken = this.#order.filter((id) => id !== this.#own && since(id) > 0).sort((a, b) => since(b) - since(a));
    const recent = [...this.#order.filter((id) => id === this.#own), ...spoken].filter((id) => !raised.has(id)).slice(0, places);
    const staying = new Set(recent);
    for (const id of recent) {
      const from = this.#order.indexOf(id);
      if (from < perPage) continue;
      const shown = this.#order.slice(raised.size, perPage).reverse();
      const quiet = shown.filter((other) => !staying.has(other)).sort((a, b) => since(a) - since(b))[0];
      if (quiet === undefined) return;
      const to = this.#order.indexOf(quiet);
      this.#order[to] = id;
      this.#order[from] = quiet;
    }
  }
}
