import { camera, microphone } from './check/devices.js';
import { PROBES, finish, prepare } from './check/probes.js';
import { h, setText } from './base/dom.js';
import { loadCatalogue, t } from './base/i18n.js';

const list = /** @type {HTMLElement} */ (document.getElementById('probes'));
const devices = /** @type {HTMLElement} */ (document.getElementById('devices'));
const summary = /** @type {HTMLElement} */ (document.getElementById('summary'));
const again = /** @type {HTMLButtonElement} */ (document.getElementById('again'));

/** The name of each probe. */
const TITLES = {
  websocket: 'check.websocket',
  sse: 'check.sse',
  stun: 'check.stun',
  turnUdp: 'check.turnUdp',
  turnTcp: 'check.turnTcp',
  turnTls: 'check.turnTls',
  media: 'check.media',
  camera: 'check.camera',
  microphone: 'check.microphone',
};
const HINTS = { none: '', missing: 'check.noDeviceHint', refused: 'check.deviceHint', silent: 'check.silentHint' };
const VERDICTS = { waiting: 'check.waiting', works: 'check.works', fails: 'check.fails', absent: 'check.absent' };

/** A row of the list. */
class Row {
  #title;
  #verdict = h('span', { class: 'verdict' });
  #hint = h('span', { class: 'hint' });
  element;

  /** @param {string} name @param {'probe' | 'device'} [kind] */
  constructor(name, kind = 'probe') {
    this.#title = t(TITLES[/** @type {keyof typeof TITLES} */ (name)]);
    this.element = h('li', { class: 'probe', [`data-${kind}`]: name }, h('span', {}, this.#title), this.#verdict, this.#hint);
    this.show('waiting');
  }

  /** @param {keyof typeof VERDICTS} state @param {string} [hint] the key of an explanation */
  show(state, hint = state === 'fails' ? 'check.hint' : '') {
    this.element.dataset.state = state;
    setText(this.#verdict, t(VERDICTS[state]));
    setText(this.#hint, hint ? t(hint) : '');
  }

  /** @param {import('./check/devices.js').DeviceOutcome} outcome */
  showDevice({ outcome, why, picture }) {
    this.show(outcome, HINTS[why]);
    if (!picture) return;
    picture.className = 'preview-still';
    picture.setAttribute('role', 'img');
    picture.setAttribute('aria-label', t('check.preview'));
    this.element.append(picture);
  }
}

async function check() {
  again.disabled = true;
  setText(summary, t('check.running'));
  const rows = PROBES.map(({ name }) => new Row(name));
  list.replaceChildren(...rows.map((row) => row.element));
  const [seen, heard] = [new Row('camera', 'device'), new Row('microphone', 'device')];
  devices.replaceChildren(seen.element, heard.element);
  /** @type {Record<string, string>} */
  const outcomes = {};
  try {
    const found = await prepare();
    for (const [index, { name, run }] of PROBES.entries()) {
      const outcome = await run(found).catch(() => /** @type {const} */ ('fails'));
      outcomes[name] = outcome;
      rows[index]?.show(outcome);
    }
    finish(found);
    const [picture, sound] = [await camera(), await microphone()];
    seen.showDevice(picture);
    heard.showDevice(sound);
    const comes = verdict(outcomes);
    const lacks = [picture, sound].some(({ outcome }) => outcome !== 'works');
    setText(summary, t(comes === 'check.good' && lacks ? 'check.devicesFail' : comes));
  } catch {
    setText(summary, t('check.unreachable'));
  } finally {
    again.disabled = false;
  }
}

/**
 * The verdict: one working signaling transport and one media path are enough.
 *
 * @param {Record<string, string>} outcomes
 */
function verdict(outcomes) {
  const works = (/** @type {string[]} */ ...names) => names.some((name) => outcomes[name] === 'works');
  if (!works('websocket', 'sse')) return 'check.noSignalling';
  if (!works('media', 'stun', 'turnUdp', 'turnTcp', 'turnTls')) return 'check.noMedia';
  return works('turnUdp', 'turnTcp', 'turnTls') ? 'check.good' : 'check.noRelay';
}

await loadCatalogue();
document.title = `Visavis: ${t('check.title')}`;
again.addEventListener('click', () => void check());
await check();
