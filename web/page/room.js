import { Call, LocalMedia, RefusedError } from '../sdk/index.js';
import { CallScreen } from './call/call-screen.js';
import { CountdownScreen } from './screens/countdown-screen.js';
import { EndScreen } from './screens/end-screen.js';
import { dropHostToken, hostTokenOf, keptUntil, lendHostToken, takeHostToken } from './storage/host-token.js';
import { loadCatalogue } from './base/i18n.js';
import { joinTokenOf, takeJoinToken } from './storage/join-token.js';
import { keepCall, takeCall } from './storage/kept-call.js';
import { clientId } from './storage/client-id.js';
import { preferences, remember, savingLevel } from './storage/preferences.js';
import { PrejoinScreen } from './screens/prejoin-screen.js';
import { recordingsLink } from './room/recordings-link.js';
import { ReturningScreen } from './screens/returning-screen.js';
import { embed, skipsPrejoin } from './room/embedding.js';
import { mayBeCode } from './room/room-link.js';
import { noteTitle, notedTitle, titleOf } from './room/room-title.js';
import { nameInAddress } from './base/root.js';
import { askServerTime, serverNow } from './base/server-clock.js';
import { WaitingScreen } from './screens/waiting-screen.js';

/**
 * @typedef {import('../sdk/protocol.js').JoinOptions} JoinOptions
 * @typedef {import('../sdk/protocol.js').TransportName} TransportName
 */

/** Reasons after which the room no longer exists. */
const OVER = new Set(['host-ended', 'expired', 'empty', 'drained', 'room-ended', 'ended']);

const app = /** @type {HTMLElement} */ (document.getElementById('app'));
const room = nameInAddress();
const query = new URLSearchParams(location.search);
const role = roleOf(query.get('role'));
// The token is removed from the address before anybody copies it.
joinTokenOf(room);
const media = new LocalMedia();
const call = new Call({ media, transports: transports(query.get('transport')), holdsRecorded: true });
// For the console, for tests, and for pages that embed this one.
Object.assign(window, { visavis: call });

/** @param {string | null} wanted */
function roleOf(wanted) {
  return wanted === 'broadcaster' || wanted === 'viewer' ? wanted : 'participant';
}

/** @param {string | null} forced */
function transports(forced) {
  /** @type {TransportName[]} */
  const known = ['websocket', 'sse', 'socketio'];
  const one = known.find((name) => name === forced);
  return one ? [one] : known.slice(0, 2);
}

/** The name and password of the current call. @type {{name: string, password?: string}} */
let answers = { name: '' };

/** @param {{name: string, password?: string}} answers */
async function join({ name, password }) {
  remember({ name });
  const topology = query.get('topology');
  /** @type {JoinOptions} */
  const options = { room, name, role, clientId: clientId() };
  // A mistyped code must not create a room.
  if (mayBeCode(room)) options.create = false;
  if (topology === 'mesh' || topology === 'sfu' || topology === 'auto') options.topology = topology;
  if (password) options.password = password;
  answers = { name, password };
  try {
    await enter(options);
    keepPowers();
  } catch (error) {
    if (error instanceof RefusedError && error.code === 'not-started' && error.startsAt) return wait({ name, password }, error.startsAt);
    throw error;
  }
  show(call.waiting ? new WaitingScreen(call) : new CallScreen(call));
}

/** Stores the host token in this browser. */
function keepPowers() {
  if (call.hostToken) takeHostToken(room, call.hostToken, keptUntil(call.room?.endsAt));
}

/**
 * The call is over for this client. A host that leaves for good, or whose room has ended, loses its token in this browser;
 * only the tab keeps it, for Rejoin and for the recordings.
 *
 * @param {string} reason
 */
function ended(reason) {
  if (reason === 'left' || OVER.has(reason)) dropHostToken(room);
  if (shown instanceof PrejoinScreen || shown instanceof CountdownScreen || shown instanceof ReturningScreen) return;
  const token = call.hostToken;
  const recordings = token && call.room && call.features.includes('recording') ? recordingsLink(call.room.id, token) : null;
  const screen = new EndScreen(denied ? 'denied' : reason, { recordings });
  screen.onagain = () => {
    if (token && reason === 'left') lendHostToken(room, token);
  };
  show(screen);
}

/**
 * Joins with the host token, then with a join token, then with neither, until the server accepts.
 *
 * @param {JoinOptions} options
 */
async function enter(options) {
  const invitation = joinTokenOf(room);
  const host = hostTokenOf(room);
  /** @type {RefusedError[]} */
  const refusals = [];
  for (const token of [host, invitation, null].filter((token, at) => token || at === 2)) {
    try {
      const welcome = await call.join(token ? { ...options, token } : options);
      call.hostToken = welcome.hostToken ?? (token === host ? host : null);
      return;
    } catch (error) {
      if (!(error instanceof RefusedError) || error.code !== 'unauthorized') throw error;
      refusals.push(error);
      // The token belongs to an earlier room of this name.
      if (token === host) dropHostToken(room);
    }
  }
  // The reason why an invitation is invalid is more useful than a request for one.
  throw refusals.find(({ reason }) => reason && reason !== 'invitation-needed') ?? refusals.at(-1);
}

/**
 * The meeting starts later: until then there is a countdown by the server's clock.
 *
 * @param {{name: string, password?: string}} answers
 * @param {string} startsAt
 */
async function wait(answers, startsAt) {
  await askServerTime();
  const enter = () => join(answers).catch((error) => {
    show(new EndScreen(error instanceof RefusedError ? error.code : 'other'));
  });
  // The server's clock is known to the second; after an early attempt the client waits a little longer.
  const early = shown instanceof CountdownScreen;
  const at = new Date(early ? Math.max(Date.parse(startsAt), serverNow() + 500) : Date.parse(startsAt));
  show(new CountdownScreen(at, () => void enter()));
}

/**
 * @typedef {{element: HTMLElement, focus: () => void, close?: () => void}} Screen
 * @type {Screen | null}
 */
let shown = null;

/** @param {Screen} screen */
function show(screen) {
  shown?.close?.();
  shown = screen;
  app.replaceChildren(screen.element);
  // With the next frame, which lays out the screen anyway: doing it at once would delay the first offer.
  requestAnimationFrame(() => {
    if (shown === screen) screen.focus();
  });
}

await loadCatalogue();
const title = () => titleOf({ id: room, title: notedTitle(room), ...call.room });
function showTitle() {
  if (call.room?.title) for (const name of [room, call.room.id]) noteTitle(name, call.room.title);
  document.title = `${title()} – Visavis`;
}
showTitle();
call.saving.level = savingLevel();
media.chosen = { microphone: preferences.microphone, camera: preferences.camera };
let denied = false;
let closing = false;
call.on('event', (event) => {
  if (event.type === 'lobby' && event.state === 'denied') denied = true;
});
call.on('room', () => {
  showTitle();
  if (shown instanceof WaitingScreen && !call.waiting) show(new CallScreen(call));
});
call.session.on('tokenrefused', () => dropHostToken(room));
call.on('ended', ({ reason }) => {
  if (!closing) ended(reason);
});
addEventListener('beforeunload', (event) => {
  if (inCall()) event.preventDefault();
});
addEventListener('pagehide', () => {
  closing = true;
  if (inCall()) keepCall({ room, ...answers, microphone: media.microphoneOn, camera: media.cameraOn });
  call.leave({ mayReturn: true });
});
call.session.on('unreachable', () => {
  if (shown instanceof PrejoinScreen || shown instanceof ReturningScreen) shown.unreachable();
});
const kept = takeCall(room);
const name = query.get('name');
if (kept) void comeBack(kept);
else if (!skipsPrejoin) show(prejoin());
else if (name) void enterWithoutDevices({ name }).catch(() => {});
// The page that shows this one says who joins.
else show(new ReturningScreen());
embed(call, enterWithoutDevices);

function inCall() {
  return shown instanceof CallScreen && call.session.state !== 'ended';
}

function prejoin({ opensDevices = true } = {}) {
  return new PrejoinScreen({ room, title: title(), role, media, name: query.get('name') ?? preferences.name, join, opensDevices });
}

/**
 * The page that shows this one in a frame has asked the user. Its user switches on the devices here, if at all.
 *
 * @param {import('./room/embedding.js').Entry} entry
 */
async function enterWithoutDevices({ name = preferences.name, token, password }) {
  const isJoining = !['idle', 'ended'].includes(call.session.state);
  if (isJoining) throw Object.assign(new Error('the call has begun'), { code: 'invalid-state' });
  if (typeof token === 'string') takeJoinToken(room, token);
  show(new ReturningScreen());
  media.close();
  await media.setMicrophone(false);
  try {
    await join({ name, password });
  } catch (error) {
    const screen = prejoin({ opensDevices: false });
    show(screen);
    screen.refused(error);
    throw error;
  }
}

/**
 * The page was reloaded in a call, which continues with the same devices.
 *
 * @param {import('./storage/kept-call.js').KeptCall} kept
 */
async function comeBack({ name, password, microphone, camera }) {
  show(new ReturningScreen());
  if (!microphone) void media.setMicrophone(false);
  if (role !== 'viewer') void media.open({ microphone, camera });
  try {
    await join({ name, password });
  } catch (error) {
    const screen = prejoin();
    show(screen);
    screen.refused(error);
  }
}
