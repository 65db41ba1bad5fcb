import { Countdown } from './widgets/countdown.js';
import { h } from './base/dom.js';
import { keptUntil, takeHostToken } from './storage/host-token.js';
import { loadCatalogue, t } from './base/i18n.js';
import { logo } from './widgets/icons.js';
import { MeetingHost } from './meetings/meeting-host.js';
import { meetingTimes, repetition } from './meetings/meeting-times.js';
import { ApiError, invitation } from './meetings/meetings-api.js';
import { meetingToken, noteMeetingEnd } from './storage/my-meetings.js';
import { at, nameInAddress, roomPath } from './base/root.js';
import { noteTitle } from './room/room-title.js';
import { serverNow } from './base/server-clock.js';

/** @typedef {import('./meetings/meetings-api.js').Invitation} Invitation */

const app = /** @type {HTMLElement} */ (document.getElementById('app'));
const meeting = nameInAddress();
const token = meetingToken(meeting);
/** @type {Countdown | null} */
let countdown = null;

/** Opens the page of the call, as host if the user is one. @param {Invitation} seen */
function enter({ code, endsAt, title }) {
  noteTitle(code, title);
  if (token) takeHostToken(code, token, keptUntil(endsAt));
  location.assign(roomPath(code));
}

/** @param {Invitation} seen */
function body(seen) {
  const { state } = seen;
  if (state !== 'scheduled' && state !== 'open') return [h('p', { role: 'status' }, t(`meeting.${state}`))];
  // A user who waits here is let in automatically.
  countdown = state === 'scheduled' ? new Countdown(new Date(seen.startsAt), () => void arrived()) : null;
  return [
    seen.hasTime && meetingTimes(seen),
    seen.recurrence && h('p', { class: 'soft' }, repetition(seen.recurrence)),
    countdown?.element,
    h('div', { class: 'actions' },
      h('button', { type: 'button', class: 'button primary large', onclick: () => enter(seen) }, t('meeting.join')),
      seen.hasTime && h('a', { class: 'button large', href: at(`api/v1/meetings/${meeting}/calendar.ics`), download: 'meeting.ics' }, t('meeting.calendar'))),
    h('section', { class: 'share', 'aria-label': t('meeting.share') },
      h('img', { src: at(`api/v1/invitations/${meeting}/qr.svg`), alt: t('meeting.qr'), width: 200, height: 200 }),
      h('dl', {},
        h('dt', {}, t('meeting.code')), h('dd', { class: 'code' }, seen.code),
        h('dt', {}, t('meeting.link')), h('dd', {}, h('a', { href: seen.joinUrl }, seen.joinUrl)))),
    token && new MeetingHost(seen, token, () => void show()).element,
  ];
}

/** The start time is reached: the user is let in as soon as the server agrees. */
async function arrived() {
  const seen = await invitation(meeting).catch(() => null);
  if (seen?.state === 'open') enter(seen);
  else if (seen && (seen.state !== 'scheduled' || Date.parse(seen.startsAt) > serverNow())) await show();
  else setTimeout(() => void arrived(), 1000);
}

async function show() {
  countdown?.stop();
  try {
    const seen = await invitation(meeting);
    noteMeetingEnd(seen);
    document.title = `${seen.title} – Visavis`;
    app.replaceChildren(h('main', { class: 'meeting' }, h('h1', {}, h('bdi', {}, seen.title)), ...body(seen).filter((part) => !!part)));
  } catch (error) {
    const isUnknown = error instanceof ApiError && error.status === 404;
    const key = isUnknown ? 'meeting.unknown' : 'meeting.failed';
    if (!isUnknown) setTimeout(() => void show(), 3000);
    app.replaceChildren(h('main', { class: 'end' }, logo(), h('h1', {}, t(key)), h('a', { class: 'button', href: at() }, t('end.home'))));
  }
}

await loadCatalogue();
await show();
