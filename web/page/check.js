import { deviceCause } from '../sdk/index.js';
import { clockCause, pathCauses } from './check/causes.js';
import { camera, microphone } from './check/devices.js';
import { PROBES, askServer, finish, prepare, report as tellServer } from './check/probes.js';
import { h, setText } from './base/dom.js';
import { loadCatalogue, t } from './base/i18n.js';
import { askServerTime, serverNow } from './base/server-clock.js';

const list = /** @type {HTMLElement} */ (document.getElementById('probes'));
const devices = /** @type {HTMLElement} */ (document.getElementById('devices'));
const summary = /** @type {HTMLElement} */ (document.getElementById('summary'));
const again = /** @type {HTMLButtonElement} */ (document.getElementById('again'));
const copy = /** @type {HTMLButtonElement} */ (document.getElementById('copy'));
/** What was found, for whoever is asked for help. It has no secrets and no addresses. */
let report = {};

/** The name of each probe. */
const TITLES = {
  websocket: 'check.websocket',
  sse: 'check.sse',
  stun: 'check.stun',
  turnUdp: 'check.turnUdp',
  turnTcp: 'check.turnTcp',
  turnTls: 'check.turnTls',
  media: 'check.media',
  iceTcp: 'check.iceTcp',
  clock: 'check.clock',
  camera: 'check.camera',
  microphone: 'check.microphone',
};
const DEVICE_HINTS = { none: '', missing: 'check.noDeviceHint', silent: 'check.silentHint', stuck: 'check.deviceHint', unknown: 'check.deviceHint' };
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

  /** @param {import('./check/causes.js').Cause | undefined} cause of what does not work */
  explain(cause) {
    if (!cause) return;
    this.element.dataset.cause = cause;
    if (cause !== 'unknown') setText(this.#hint, t(`cause.${cause}`));
  }

  /**
   * @param {'camera' | 'microphone'} kind
   * @param {import('./check/devices.js').DeviceOutcome} outcome
   */
  showDevice(kind, { outcome, why, picture }) {
    this.show(outcome, why in DEVICE_HINTS ? DEVICE_HINTS[/** @type {keyof typeof DEVICE_HINTS} */ (why)] : `devices.${kind}.${why}`);
    if (outcome !== 'works') this.element.dataset.cause = causeOf(kind, why);
    if (!picture) return;
    picture.className = 'preview-still';
    picture.setAttribute('role', 'img');
    picture.setAttribute('aria-label', t('check.preview'));
    this.element.append(picture);
  }
}

/** @param {'camera' | 'microphone'} kind @param {import('./check/devices.js').DeviceOutcome['why']} why */
function causeOf(kind, why) {
  return deviceCause(kind, why === 'none' || why === 'silent' || why === 'stuck' || why === 'unknown' ? null : why);
}

async function check() {
  again.disabled = copy.disabled = true;
  setText(summary, t('check.running'));
  delete summary.dataset.cause;
  setText(copy, t('check.copy'));
  const rows = PROBES.map(({ name }) => new Row(name));
  list.replaceChildren(...rows.map((row) => row.element));
  const [seen, heard] = [new Row('camera', 'device'), new Row('microphone', 'device')];
  const clock = new Row('clock');
  list.append(clock.element);
  devices.replaceChildren(seen.element, heard.element);
  /** @type {Record<string, import('./check/probes.js').Outcome>} */
  const outcomes = {};
  try {
    const found = await prepare();
    for (const [index, { name, run }] of PROBES.entries()) {
      const outcome = await run(found).catch(() => /** @type {const} */ ('fails'));
      outcomes[name] = outcome;
      rows[index]?.show(outcome);
    }
    if (Object.values(outcomes).includes('fails')) await askServer(found).catch(() => {});
    finish(found);
    const causes = pathCauses(outcomes, found.seen);
    for (const [index, { name }] of PROBES.entries()) rows[index]?.explain(causes[name]);
    await askServerTime();
    const ahead = serverNow() - Date.now();
    const late = clockCause(ahead);
    clock.show(late ? 'fails' : 'works', '');
    clock.explain(late ?? undefined);
    const [picture, sound] = [await camera(), await microphone()];
    seen.showDevice('camera', picture);
    heard.showDevice('microphone', sound);
    const named = Object.fromEntries([...document.querySelectorAll('.probe')].flatMap((row) => {
      const { cause, probe, device } = /** @type {HTMLElement} */ (row).dataset;
      return cause ? [[probe ?? device, cause]] : [];
    }));
    tellServer(found, Object.values(named));
    report = {
      at: new Date().toISOString(),
      browser: navigator.userAgent,
      outcomes: { ...outcomes, camera: picture.outcome, microphone: sound.outcome, clock: late ? 'fails' : 'works' },
      causes: named,
      devices: { camera: picture.why, microphone: sound.why },
      seen: found.seen,
      serverAheadMs: Math.round(ahead),
    };
    copy.disabled = false;
    const comes = verdict(outcomes);
    const lacks = [picture, sound].some(({ outcome }) => outcome !== 'works');
    setText(summary, t(comes === 'check.good' && lacks ? 'check.devicesFail' : comes));
  } catch {
    setText(summary, t('check.unreachable'));
    summary.dataset.cause = 'server-unreachable';
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
  if (!works('media', 'iceTcp', 'stun', 'turnUdp', 'turnTcp', 'turnTls')) return 'check.noMedia';
  return works('turnUdp', 'turnTcp', 'turnTls') ? 'check.good' : 'check.noRelay';
}

await loadCatalogue();
document.title = `Visavis: ${t('check.title')}`;
again.addEventListener('click', () => void check());
copy.addEventListener('click', async () => {
  await navigator.clipboard.writeText(JSON.stringify(report, null, 2));
  setText(copy, t('check.copied'));
});
await check();
