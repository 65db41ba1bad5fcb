import { loadCatalogue, t } from './i18n.js';
import { takeHostToken } from './host-token.js';
import { book } from './meetings-api.js';
import { rememberMeeting } from './my-meetings.js';
import { meetingOf, roomOf } from './room-link.js';
import { ownZone } from './zoned-time.js';

const problem = /** @type {HTMLElement} */ (document.getElementById('problem'));
const create = /** @type {HTMLButtonElement} */ (document.getElementById('create'));
const form = /** @type {HTMLFormElement} */ (document.getElementById('enter'));
const code = /** @type {HTMLInputElement} */ (document.getElementById('code'));

create.addEventListener('click', async () => {
  create.disabled = true;
  problem.textContent = '';
  try {
    const response = await fetch('/api/v1/rooms', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' });
    if (!response.ok) throw new Error(String(response.status));
    const { room, hostToken } = await response.json();
    takeHostToken(room, hostToken);
    location.assign(`/r/${encodeURIComponent(room)}`);
  } catch {
    problem.textContent = t('landing.failed');
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
    const made = await book({ title: t('landing.callTitle'), timeZone: ownZone(), durationMinutes: 60, capacity: 2 });
    rememberMeeting(made.meeting, made.hostUrl.split('#host=')[1] ?? '');
    location.assign(`/m/${made.meeting}`);
  } catch {
    problem.textContent = t('landing.failed');
  } finally {
    call.disabled = false;
  }
});

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const meeting = meetingOf(code.value);
  if (meeting) return location.assign(`/m/${meeting}`);
  const room = roomOf(code.value);
  problem.textContent = room ? '' : t('landing.badCode');
  code.setAttribute('aria-invalid', String(!room));
  if (room) location.assign(`/r/${encodeURIComponent(room)}`);
});

await catalogue;
code.placeholder = t('landing.code');
