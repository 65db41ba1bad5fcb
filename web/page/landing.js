import { loadCatalogue, t } from './base/i18n.js';
import { takeHostToken } from './storage/host-token.js';
import { ApiError, book, isOpenToAll } from './meetings/meetings-api.js';
import { rememberMeeting } from './storage/my-meetings.js';
import { refusalText } from './room/refusals.js';
import { meetingOf, roomOf } from './room/room-link.js';
import { threeWords } from './room/room-title.js';
import { at, roomPath } from './base/root.js';
import { ownZone } from './base/zoned-time.js';

const problem = /** @type {HTMLElement} */ (document.getElementById('problem'));
const create = /** @type {HTMLButtonElement} */ (document.getElementById('create'));
const form = /** @type {HTMLFormElement} */ (document.getElementById('enter'));
const code = /** @type {HTMLInputElement} */ (document.getElementById('code'));

create.addEventListener('click', async () => {
  create.disabled = true;
  problem.textContent = '';
  try {
    const response = await fetch(at('api/v1/rooms'), { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' });
    if (!response.ok) throw new ApiError(response.status, await response.json().catch(() => null));
    const { room, hostToken } = await response.json();
    takeHostToken(room, hostToken);
    location.assign(roomPath(room));
  } catch (error) {
    problem.textContent = failure(error);
  } finally {
    create.disabled = false;
  }
});

const catalogue = loadCatalogue();
const call = /** @type {HTMLButtonElement} */ (document.getElementById('call'));
call.addEventListener('click', async () => {
  call.disabled = true;
  problem.textContent = '';
  try {
    await catalogue;
    const made = await book({ title: threeWords(), timeZone: ownZone(), durationMinutes: 60, capacity: 2 });
    rememberMeeting(made.meeting, made.hostUrl.split('#host=')[1] ?? '');
    location.assign(at(`m/${made.meeting}`));
  } catch (error) {
    problem.textContent = failure(error);
  } finally {
    call.disabled = false;
  }
});

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const meeting = meetingOf(code.value);
  if (meeting) return location.assign(at(`m/${meeting}`));
  const room = roomOf(code.value);
  const fits = room !== null && await isName(room);
  problem.textContent = fits ? '' : t('landing.badCode');
  code.setAttribute('aria-invalid', String(!fits));
  if (fits) location.assign(roomPath(room));
});

/** @param {unknown} error */
function failure(error) {
  return error instanceof ApiError && error.ownOrigin ? refusalText('forbidden', error) : t('landing.failed');
}

/** Whether a room can have this name, by the server's own rule. @param {string} room */
async function isName(room) {
  try {
    return (await fetch(roomPath(room), { method: 'HEAD', cache: 'no-store' })).status !== 400;
  } catch {
    // The server does not answer; the room's page reports the cause.
    return true;
  }
}

const isOpen = await isOpenToAll();
for (const button of [create, call]) /** @type {HTMLElement} */ (button.closest('.way')).hidden = !isOpen;
await catalogue;
code.placeholder = t('landing.code');
