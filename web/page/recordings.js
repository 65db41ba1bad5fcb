// The recordings of a room, for its hosts: play, download, delete.

import { textButton } from './widgets/buttons.js';
import { h, setText } from './base/dom.js';
import { tabHostToken } from './storage/host-token.js';
import { dateAndTime, loadCatalogue, t } from './base/i18n.js';
import { notedTitle, titleOf } from './room/room-title.js';
import { at, nameInAddress } from './base/root.js';

/**
 * @typedef {object} Recording
 * @property {string} recording
 * @property {string} peer
 * @property {string} [name]
 * @property {string} source
 * @property {string} startedAt
 * @property {'recording' | 'finalising' | 'ready' | 'failed'} state
 * @property {string} container
 * @property {number} bytes
 * @property {number} durationMs
 * @property {string} [error]
 * @property {string} url
 */

/** While a recording is in progress, the list is fetched again at this interval. */
const REFRESH_MS = 5_000;

const room = nameInAddress();
const token = tabHostToken(room);
const note = /** @type {HTMLElement} */ (document.getElementById('note'));
const list = /** @type {HTMLElement} */ (document.getElementById('list'));

/** @type {Map<string, {state: string, element: HTMLElement}>} */
const shown = new Map();

/**
 * @param {string} path
 * @param {RequestInit} [init]
 */
const ask = (path, init = {}) => fetch(at(`api/v1/recordings${path}`), { ...init, headers: { Authorization: `Bearer ${token}` } });

async function refresh() {
  if (!token) return setText(note, t('recordings.hostsOnly'));
  /** @type {Recording[]} */
  const recordings = [];
  /** @type {string | undefined} */
  let next;
  do {
    let response;
    try {
      response = await ask(`?room=${encodeURIComponent(room)}&limit=1000${next ? `&after=${next}` : ''}`);
    } catch {
      return setText(note, t('recordings.unanswered'));
    }
    if (!response.ok) return setText(note, t(response.status < 500 ? 'recordings.hostsOnly' : 'recordings.unanswered'));
    /** @type {{recordings: Recording[], next?: string}} */
    const page = await response.json();
    recordings.push(...page.recordings);
    next = page.next;
  } while (next);
  setText(note, recordings.length === 0 ? t('recordings.none') : '');
  render(recordings);
  if (recordings.some(({ state }) => state === 'recording' || state === 'finalising')) setTimeout(refresh, REFRESH_MS);
}

/** @param {Recording[]} recordings */
function render(recordings) {
  const elements = recordings.map((recording) => {
    const known = shown.get(recording.recording);
    // A recording that is playing is not replaced.
    if (known && known.state === recording.state && recording.state === 'ready') return known.element;
    const element = card(recording);
    shown.set(recording.recording, { state: recording.state, element });
    return element;
  });
  list.replaceChildren(...elements);
}

/** @param {Recording} recording */
function card(recording) {
  const name = recording.name ?? recording.peer;
  const title = recording.source === 'screen' ? t('recordings.screen', { name }) : name;
  const facts = [dateAndTime(new Date(recording.startedAt)), duration(recording.durationMs), size(recording.bytes), t(`recordings.${recording.state}`)];
  const remove = textButton(t('recordings.delete'), () => forget(recording, title), 'danger');
  remove.setAttribute('aria-label', t('recordings.deleteNamed', { name: title }));
  const isThere = recording.state === 'ready' || recording.state === 'finalising';
  return h('li', { class: 'recording' },
    h('h2', { dir: 'auto' }, title),
    h('p', { class: 'facts' }, facts.join(' · ')),
    recording.error && h('p', { class: 'problem' }, t('recordings.cutShort')),
    isThere && h('video', { controls: true, preload: 'metadata', playsinline: true, src: recording.url }),
    h('div', { class: 'actions' },
      isThere && h('a', { class: 'button', href: `${recording.url}&download=1`, download: true }, t('recordings.download')),
      remove));
}

/**
 * @param {Recording} recording
 * @param {string} name
 */
async function forget(recording, name) {
  if (!confirm(t('recordings.deleteSure', { name }))) return;
  try {
    const response = await ask(`/${recording.recording}`, { method: 'DELETE' });
    if (!response.ok && response.status !== 404) throw new Error(String(response.status));
    shown.delete(recording.recording);
    await refresh();
  } catch {
    setText(note, t('recordings.unanswered'));
  }
}

/** @param {number} milliseconds */
function duration(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.slice(parts[0] ? 0 : 1).map((part, at) => (at ? String(part).padStart(2, '0') : part)).join(':');
}

/** @param {number} bytes */
function size(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const step = bytes < 1 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1);
  return `${(bytes / 1000 ** step).toFixed(step > 1 ? 1 : 0)} ${units[step]}`;
}

await loadCatalogue();
document.title = t('recordings.of', { room });
setText(/** @type {HTMLElement} */ (document.getElementById('title')), document.title);
await refresh();
