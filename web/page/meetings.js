import { h } from './base/dom.js';
import { loadCatalogue, t } from './base/i18n.js';
import { Invitees } from './meetings/invitees.js';
import { shortTime } from './meetings/meeting-times.js';
import { ApiError, book, invitation, isOpenToAll, meetingsOf, sendsMail } from './meetings/meetings-api.js';
import { ForgetDevice } from './widgets/forget-device.js';
import { forgetMeeting, noteMeetingEnd, ownMeetings, rememberMeeting } from './storage/my-meetings.js';
import { at } from './base/root.js';
import { instantOf, ownZone, shownIn, zones } from './base/zoned-time.js';

const form = /** @type {HTMLFormElement} */ (document.getElementById('schedule'));
/** Disabled until the script runs: without it the browser would submit the form, with the password, in a URL. */
const submit = /** @type {HTMLButtonElement} */ (form.querySelector('button[type=submit]'));
const problem = /** @type {HTMLElement} */ (document.getElementById('problem'));
const list = /** @type {HTMLElement} */ (document.getElementById('mine'));
const none = /** @type {HTMLElement} */ (document.getElementById('none'));
/** @type {Invitees | null} there where the server sends mail */
let invitees = null;
/** @type {HTMLInputElement | null} there where nobody books without a key */
let bookingKey = null;
const keyForm = /** @type {HTMLFormElement} */ (document.getElementById('by-key'));

/** @param {string} name */
const field = (name) => /** @type {HTMLInputElement} */ (form.elements.namedItem(name));

/** The rule of the chosen series. */
function recurrence() {
  const every = field('repeat').value;
  return every ? `FREQ=${every};COUNT=${Number(field('count').value) || 1}` : null;
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  problem.textContent = '';
  submit.disabled = true;
  const zone = field('zone').value;
  try {
    const made = await book({
      title: field('title').value,
      startsAt: instantOf(field('date').value, field('time').value, zone).toISOString(),
      timeZone: zone,
      durationMinutes: Number(field('duration').value),
      capacity: Number(field('capacity').value) || null,
      lobby: field('lobby').checked,
      waitForHost: field('wait-for-host').checked,
      password: field('password').value || null,
      recurrence: recurrence(),
      attendees: invitees?.attendees ?? [],
    }, bookingKey?.value.trim() ?? invitees?.key);
    const token = made.hostUrl.split('#host=')[1] ?? '';
    rememberMeeting(made.meeting, token);
    location.assign(at(`m/${made.meeting}`));
  } catch (error) {
    problem.textContent = error instanceof ApiError && error.message ? error.message : t('meeting.failed');
  } finally {
    submit.disabled = false;
  }
});

/** Shows the number of occurrences for a meeting that repeats. */
function showCount() {
  /** @type {HTMLElement} */ (document.getElementById('count-field')).hidden = field('repeat').value === '';
}

/** @param {{meeting: string, title: string, startsAt: string, state: string}} one */
function item({ meeting, title, startsAt, state }) {
  return h('li', {}, h('a', { href: at(`m/${meeting}`) }, h('bdi', {}, title)), h('span', { class: 'soft' }, `${shortTime(startsAt)} · ${t(`state.${state}`)}`));
}

async function showMine() {
  const seen = await Promise.all(ownMeetings().map(async ({ meeting }) => {
    try {
      return await invitation(meeting);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) forgetMeeting(meeting);
      return null;
    }
  }));
  const there = seen.filter((one) => one !== null).sort((a, b) => Date.parse(a.startsAt) - Date.parse(b.startsAt));
  there.forEach(noteMeetingEnd);
  list.replaceChildren(...there.map(item));
  none.hidden = there.length > 0;
}

keyForm.addEventListener('submit', async (event) => {
  event.preventDefault();
  const key = /** @type {HTMLInputElement} */ (document.getElementById('key'));
  const refused = /** @type {HTMLElement} */ (document.getElementById('key-problem'));
  refused.textContent = '';
  try {
    const { meetings } = await meetingsOf(key.value.trim());
    for (const { meeting, hostUrl } of meetings) {
      const token = hostUrl?.split('#host=')[1];
      if (token) rememberMeeting(meeting, token);
    }
    list.replaceChildren(...meetings.map(item));
    none.hidden = meetings.length > 0;
  } catch (error) {
    refused.textContent = error instanceof ApiError && error.message ? error.message : t('meeting.failed');
  }
});

field('repeat').addEventListener('change', showCount);

// On a slow connection the form is usable before the texts have loaded; what the user has entered stays.
const nextHour = shownIn(new Date(Math.ceil((Date.now() + 60_000) / 3_600_000) * 3_600_000), ownZone());
field('date').value ||= nextHour.date;
field('time').value ||= nextHour.time;
field('zone').append(...zones().map((zone) => h('option', { value: zone, selected: zone === ownZone() }, zone)));
showCount();
submit.disabled = false;

await loadCatalogue();
if (!(await isOpenToAll())) {
  bookingKey = h('input', { id: 'booking-key', class: 'input', type: 'password', autocomplete: 'off', required: true });
  problem.before(h('div', { class: 'field' }, h('label', { for: 'booking-key' }, t('schedule.bookingKey')), bookingKey));
}
if (await sendsMail()) {
  invitees = new Invitees({ asksForKey: bookingKey === null });
  problem.before(invitees.element);
}
none.after(new ForgetDevice(() => void showMine()).element);
await showMine();
