import { h } from '../base/dom.js';
import { t } from '../base/i18n.js';

/** Shows the statistics of every connection. */
export class StatsOverlay {
  #body = h('tbody', {});
  element;
  #call;
  /** @type {Map<string, HTMLTableRowElement>} */
  #rows = new Map();

  /**
   * @param {import('../../sdk/index.js').Call} call
   * @param {import('./quality-loop.js').QualityLoop} loop
   */
  constructor(call, loop) {
    this.#call = call;
    const heads = ['name', 'picture', 'layer', 'asked', 'rate', 'loss', 'roundTrip', 'jitter'].map((key) => h('th', { scope: 'col' }, t(`stats.${key}`)));
    this.element = h('section', { class: 'stats', 'aria-label': t('settings.statistics'), tabindex: 0, hidden: true },
      h('table', {}, h('thead', {}, h('tr', {}, ...heads)), this.#body));
    loop.listen((peer, quality) => this.#show(peer, quality));
    call.on('left', ({ peer }) => {
      this.#rows.get(peer.id)?.remove();
      this.#rows.delete(peer.id);
    });
  }

  get shown() {
    return !this.element.hidden;
  }

  /** @param {boolean} on */
  set shown(on) {
    this.element.hidden = !on;
  }

  /** @param {string} id @param {import('../../sdk/quality.js').Quality} quality */
  #show(id, { width, height, fps, codec, bitrate, loss, roundTripMs, jitterMs }) {
    let row = this.#rows.get(id);
    if (!row) {
      this.#rows.set(id, (row = h('tr', {})));
      this.#body.append(row);
    }
    const { asked, report } = this.#call.picture(id, 'camera');
    const cells = [
      this.#call.peer(id)?.name ?? id,
      width ? `${width}×${height} ${fps.toFixed(0)}/s ${codec}` : '–',
      report?.layer ?? '–',
      askedFor(asked),
      `${(bitrate / 1000).toFixed(0)} kbit/s`,
      `${(loss * 100).toFixed(1)} %`,
      `${roundTripMs.toFixed(0)} ms`,
      `${jitterMs.toFixed(0)} ms`,
    ];
    row.replaceChildren(...cells.map((text) => h('td', { dir: 'auto' }, text)));
  }
}

/** @param {ReturnType<import('../../sdk/index.js').Call['picture']>['asked']} asked */
function askedFor(asked) {
  if (!asked) return '–';
  if (!asked.enabled) return t('stats.none');
  return asked.maxWidth === undefined ? t('stats.any') : `≤ ${asked.maxWidth}×${asked.maxHeight}`;
}
