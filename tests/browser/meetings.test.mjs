// Meetings on the page: made, found by code, waited for, over zones and changes of the clock, and ended.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { BINARY, launch, mediaFlows, newPage, participant, Server, until } from './harness.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let server;
let browser;
before(async () => {
  server = await Server.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Books a meeting as another program would. */
async function book(wanted, at = server) {
  const response = await fetch(`${at.url}/api/v1/meetings`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ title: 'Standup', timeZone: 'Europe/Berlin', durationMinutes: 30, ...wanted }),
  });
  assert.equal(response.status, 201);
  return response.json();
}

async function enter(page, name) {
  await page.getByRole('textbox', { name: 'Your name' }).fill(name);
  await page.getByRole('button', { name: 'Join', exact: true }).click();
}

async function noBarriers(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), []);
}

test('a meeting is called by its title: before joining, in the call and in the tab', async () => {
  const { meeting, code } = await book({ title: 'Budget 2027' });
  const ada = await newPage(browser);
  await ada.goto(`${server.url}/m/${meeting}`);
  await ada.getByRole('button', { name: 'Join', exact: true }).click();
  await ada.waitForURL(new RegExp(`/r/${code}$`));
  await ada.locator('.room-name').getByText('Budget 2027').waitFor();
  assert.equal(await ada.title(), 'Budget 2027 – Visavis');
  await enter(ada, 'Ada');
  await ada.getByRole('heading', { name: 'Budget 2027' }).waitFor();
  // Whoever comes by the code alone is told once they are in.
  const bob = await newPage(browser);
  await bob.goto(`${server.url}/r/${code}`);
  await enter(bob, 'Bob');
  await bob.getByRole('heading', { name: 'Budget 2027' }).waitFor();
  assert.equal(await bob.title(), 'Budget 2027 – Visavis');
  for (const page of [ada, bob]) await page.context().close();
});

test('two meet by code, a third is told why not, and the creator ends it for good', async () => {
  const ada = await newPage(browser);
  await ada.goto(server.url);
  await ada.getByRole('button', { name: 'New call with code' }).click();
  await ada.waitForURL(/\/m\/\w+$/);
  const code = await ada.locator('.code').textContent();
  assert.match(code, /^\w{3}-\w{3}-\w{3}$/);
  await ada.getByRole('img', { name: 'QR code of the link' }).waitFor();
  const title = await ada.getByRole('heading', { level: 1 }).textContent();
  assert.match(title, /^\S+ \S+ \S+$/, 'three words stand for a name');
  await ada.waitForFunction(() => document.querySelector('.share img').naturalWidth > 0);
  await noBarriers(ada);
  await ada.getByRole('button', { name: 'Join', exact: true }).click();
  await ada.waitForURL(new RegExp(`/r/${code}$`));
  await enter(ada, 'Ada');
  await ada.getByRole('button', { name: 'Leave', exact: true }).waitFor();

  const bob = await newPage(browser);
  await bob.goto(server.url);
  await bob.getByRole('textbox', { name: 'Room name, code or link' }).fill(` ${code.toUpperCase().replaceAll('-', ' ')} `);
  await bob.getByRole('button', { name: 'Join', exact: true }).click();
  await enter(bob, 'Bob');
  await bob.getByRole('button', { name: 'Leave', exact: true }).waitFor();
  await Promise.all([ada, bob].map((page) => mediaFlows(page, 1)));

  const eve = await newPage(browser);
  await eve.goto(`${server.url}/r/${code}`);
  await enter(eve, 'Eve');
  await eve.getByRole('alert').filter({ hasText: 'The room is full.' }).waitFor();

  const organiser = await ada.context().newPage();
  await organiser.goto(`${server.url}/meetings`);
  await organiser.getByRole('link', { name: title, exact: true }).click();
  await organiser.getByRole('button', { name: 'End for all' }).click();
  for (const page of [ada, bob]) await page.getByRole('heading', { name: 'The host has ended the call' }).waitFor();
  await organiser.getByText('The meeting has ended.').waitFor();
  await enter(eve, 'Eve');
  await eve.getByRole('alert').filter({ hasText: 'This room has ended.' }).waitFor();
  assert.deepEqual([...ada.problems, ...bob.problems, ...eve.problems], []);
  for (const page of [ada, bob, eve]) await page.context().close();
});

test('a meeting of another zone is shown at the right local time, over a change of the clock', async () => {
  // 10:00 in Berlin: from 28 March on two hours ahead of UTC; New York has changed two weeks before.
  const cases = [
    ['2027-03-26T09:00:00Z', 'America/New_York', '05:00', '10:00'],
    ['2027-03-29T08:00:00Z', 'America/New_York', '04:00', '10:00'],
    ['2027-03-10T09:00:00Z', 'America/New_York', '04:00', '10:00'],
    ['2027-03-29T08:00:00Z', 'Asia/Kathmandu', '13:45', '10:00'],
  ];
  for (const [startsAt, timezoneId, local, organisers] of cases) {
    const made = await book({ startsAt });
    const page = await newPage(browser, { timezoneId });
    await page.goto(made.joinUrl.replace(/^https?:\/\/[^/]+/, server.url));
    const shown = await page.locator('.meeting-times time').textContent();
    assert.ok(shown.includes(local), `${startsAt} in ${timezoneId}: ${shown}`);
    assert.ok((await page.locator('.meeting-times').textContent()).includes(organisers));
    assert.deepEqual(page.problems, []);
    await page.context().close();
  }
});

test('a meeting is scheduled on the page, in the zone that was chosen, and called off', async () => {
  const page = await newPage(browser, { timezoneId: 'Europe/London' });
  await page.goto(server.url);
  await page.getByRole('link', { name: 'Schedule a meeting' }).click();
  await page.getByRole('textbox', { name: 'Title' }).fill('Planning <b>');
  await page.getByLabel('Date', { exact: true }).fill('2027-03-28');
  await page.getByLabel('Time', { exact: true }).fill('10:00');
  await page.getByLabel('Duration', { exact: true }).fill('45');
  await page.getByLabel('Time zone', { exact: true }).selectOption('America/New_York');
  await noBarriers(page);
  await page.getByRole('button', { name: 'Schedule', exact: true }).click();
  await page.getByRole('heading', { name: 'Planning <b>' }).waitFor();
  const shown = await page.locator('.meeting-times time').getAttribute('datetime');
  assert.equal(Date.parse(shown), Date.parse('2027-03-28T14:00:00Z'));
  await page.getByRole('timer').filter({ hasText: /Starts in \d+ days/ }).waitFor();
  const calendar = await page.getByRole('link', { name: 'Add to calendar' }).getAttribute('href');
  const file = await (await fetch(server.url + calendar)).text();
  assert.ok(file.includes('DTSTART;TZID=America/New_York:20270328T100000'), file);
  await noBarriers(page);

  await page.getByText('Change date and time').click();
  await page.getByLabel('Time', { exact: true }).fill('11:00');
  await page.getByRole('button', { name: 'Reschedule' }).click();
  await until('the new time', async () => Date.parse(await page.locator('.meeting-times time').getAttribute('datetime')) === Date.parse('2027-03-28T15:00:00Z'));
  await page.getByRole('button', { name: 'Call off' }).click();
  await page.getByText('The meeting was called off.').waitFor();
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('input from before the texts have loaded stays', async () => {
  const page = await newPage(browser);
  let release;
  const released = new Promise((resolve) => { release = resolve; });
  await page.route('**/locales/*.json', async (route) => {
    await released;
    await route.continue();
  });
  await page.goto(`${server.url}/meetings`);
  const fields = { Title: 'Early', Date: '2027-03-28', Time: '10:17' };
  for (const [label, value] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(value);
  await page.getByLabel('Repeat', { exact: true }).selectOption('DAILY');
  await page.getByLabel('How many times').waitFor();
  const loaded = page.waitForResponse('**/locales/en.json');
  release();
  await loaded;
  await page.getByText('None in this browser yet.').waitFor();
  for (const [label, value] of Object.entries(fields)) assert.equal(await page.getByLabel(label, { exact: true }).inputValue(), value);
  await page.context().close();
});

test('the form has all options of a meeting, and invites people where the server sends mail', async () => {
  // Nobody takes the letters: they wait.
  const posting = await Server.start('--smtp', 'smtp://127.0.0.1:1', '--mail-from', 'Calls <calls@example.org>', '--public-url', 'https://calls.example');
  const create = ['--data-dir', posting.data, 'api-key', 'create', '--scope', 'meetings:write'];
  const key = execFileSync(BINARY, create, { encoding: 'utf8' }).trim();
  const page = await newPage(browser, { viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
  await page.goto(`${posting.url}/meetings`);
  const box = (element) => element.boundingBox();
  const [field, unit] = [await box(page.getByLabel('Duration', { exact: true })), await box(page.locator('#duration-unit'))];
  assert.ok(unit.y < field.y + field.height && unit.x > field.x, 'the unit stands beside its field, on a phone as well');

  await page.getByLabel('Title', { exact: true }).fill('Planning');
  await page.getByLabel('Repeat', { exact: true }).selectOption('Every week');
  await page.getByLabel('How many times', { exact: true }).fill('3');
  await page.getByLabel('People at most', { exact: true }).fill('8');
  await page.getByLabel('Password', { exact: true }).fill('sesame');
  await page.getByText('People wait in a lobby until you let them in').click();
  const people = page.getByRole('group', { name: 'Invite by mail' });
  for (const [name, email] of [['Ada', 'ada@example.net'], ['Nobody', 'nobody@example.net'], ['Bob', 'bob@example.net']]) {
    await people.getByRole('button', { name: 'Add a person' }).click();
    await people.getByLabel('Name', { exact: true }).last().fill(name);
    await people.getByLabel('E-mail', { exact: true }).last().fill(email);
  }
  await people.getByRole('button', { name: 'Remove' }).nth(1).click();
  await noBarriers(page);
  const schedule = page.getByRole('button', { name: 'Schedule', exact: true });
  await people.getByLabel('API key for sending mail').fill('vsk_AAAA');
  await schedule.click();
  await page.getByRole('alert').filter({ hasText: 'the API key is unknown' }).waitFor();
  await people.getByLabel('API key for sending mail').fill(key);
  await schedule.click();
  await page.getByRole('heading', { name: 'Planning' }).waitFor();
  await page.getByText('Every week').waitFor();
  await noBarriers(page);

  const listed = await fetch(`${posting.url}/api/v1/meetings`, { headers: { Authorization: `Bearer ${key}` } });
  const { meetings: [made] } = await listed.json();
  assert.deepEqual(made.attendees, [{ name: 'Ada', email: 'ada@example.net' }, { name: 'Bob', email: 'bob@example.net' }]);
  assert.deepEqual([made.capacity, made.hasPassword, made.lobby, made.recurrence], [8, true, true, 'FREQ=WEEKLY;COUNT=3']);

  // Without a mail server nobody is asked whom to write to.
  await page.goto(`${server.url}/meetings`);
  await page.getByText('None in this browser yet.').waitFor();
  assert.equal(await page.getByRole('group', { name: 'Invite by mail' }).count(), 0);
  assert.deepEqual(page.problems, []);
  await page.context().close();
  await posting.close();
});

test('an early user sees a countdown and is let in automatically', async () => {
  const [early, visitor] = [await newPage(browser), await newPage(browser)];
  // Both have to be there before it begins: on a slow machine it begins later.
  const bothWait = async (lead) => {
    const made = await book({ startsAt: new Date(Date.now() + lead * 1000).toISOString() });
    await early.goto(`${server.url}/r/${made.code}`);
    await enter(early, 'Ada');
    await early.getByRole('timer').or(early.getByRole('button', { name: /^Leave/ })).first().waitFor();
    await visitor.goto(made.joinUrl.replace(/^https?:\/\/[^/]+/, server.url));
    await visitor.getByRole('button', { name: 'Join' }).waitFor();
    const waits = (page) => page.getByRole('timer').filter({ hasText: /Starts in/ }).isVisible();
    if ((await waits(early)) && (await waits(visitor))) return made;
    assert.ok(lead < 60, 'nobody is shown how long it takes until the beginning');
    return bothWait(lead * 2);
  };
  const made = await bothWait(10);
  await visitor.waitForURL(`**/r/${made.code}`);
  await enter(visitor, 'Bob');
  await Promise.all([early, visitor].map((page) => mediaFlows(page, 1)));
  assert.deepEqual([...early.problems, ...visitor.problems], []);
  for (const page of [early, visitor]) await page.context().close();
});

test('receivers of webhooks hear of a call, and when its recording is ready', async () => {
  const recorder = await Server.start('--record', 'all', '--recording-finalize', 'off', '--webhook-allow-private');
  const heard = [];
  const receiver = createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      heard.push(JSON.parse(Buffer.concat(parts).toString()));
      response.writeHead(204).end();
    });
  });
  await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const made = await book({ webhookUrl: `http://127.0.0.1:${receiver.address().port}/hook` }, recorder);
  const bearer = { Authorization: `Bearer ${made.hostUrl.split('#host=')[1]}` };
  const recordings = async () => (await (await fetch(`${recorder.url}/api/v1/recordings`, { headers: bearer })).json()).recordings;

  const page = await participant(browser, recorder.url, made.code, { name: 'Ada' });
  await until('something is recorded', async () => (await recordings()).some(({ bytes }) => bytes > 10_000));
  await page.getByRole('button', { name: 'Leave', exact: true }).click();
  const ready = await until('the recording is ready', () => heard.find(({ type }) => type === 'recording.ready'));
  assert.equal(ready.data.meeting, made.meeting);
  const [kept] = await recordings();
  assert.deepEqual([kept.recording, kept.state, kept.room], [ready.data.recording, 'ready', made.room]);
  const kinds = ['meeting.created', 'meeting.started', 'peer.joined', 'peer.left'];
  await until('the others', () => kinds.every((kind) => heard.some(({ type }) => type === kind)));
  assert.deepEqual(heard.map(({ type }) => type).filter((type) => kinds.includes(type)), kinds, 'in order');
  assert.deepEqual(page.problems, []);
  await page.context().close();
  receiver.closeAllConnections();
  receiver.close();
  await recorder.close();
});
