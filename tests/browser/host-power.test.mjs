// The host's power lives in the browser for the life of the room.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launch, newPage, newRoom, participant, selfId, Server, until } from './harness.mjs';

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

const isHost = (page) => page.evaluate(() => window.visavis.self?.host ?? false);
const hostOf = (page) => page.evaluate(() => window.visavis.room.host);
/** Everything that a page of this origin keeps. */
const kept = (page) => page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
const token = (page) => page.evaluate(() => window.visavis.hostToken);
const leave = async (page) => {
  await page.getByRole('button', { name: 'Leave', exact: true }).click();
  await page.getByRole('heading', { name: 'You have left the call' }).waitFor();
};

test('a teacher who closes the tab is gone at once, and host again in another one', async () => {
  const room = newRoom();
  const teacher = await participant(browser, server.url, room, { name: 'Teacher', topology: 'mesh' });
  const pupil = await participant(browser, server.url, room, { name: 'Pupil' });
  const former = await selfId(teacher);
  await pupil.locator(`[data-peer="${former}"]`).waitFor();
  const context = teacher.context();
  // The tab is closed as people close it.
  await teacher.close({ runBeforeUnload: true });
  await pupil.locator(`[data-peer="${former}"]`).waitFor({ state: 'detached' });
  const again = await context.newPage();
  await join(again, server.url, room, { name: 'Teacher' });
  assert.equal(await isHost(again), true);
  assert.equal(await isHost(pupil), false, 'nobody succeeded in between');
  await until('the host', async () => (await hostOf(pupil)) === (await selfId(again)));
  // So it is with a page that is loaded again.
  await again.reload();
  await again.getByRole('button', { name: 'Leave', exact: true }).waitFor();
  assert.deepEqual([await isHost(again), await isHost(pupil)], [true, false]);
  await context.close();
  await pupil.context().close();
});

for (const transport of ['websocket', 'sse', 'socketio']) {
  test(`a pressed Leave passes the power at once and is final, over ${transport}`, async () => {
    const room = newRoom();
    const teacher = await participant(browser, server.url, room, { name: 'Teacher', topology: 'mesh', transport });
    const pupil = await participant(browser, server.url, room, { name: 'Pupil' });
    const secret = await token(teacher);
    assert.ok((await kept(teacher)).includes(secret), 'kept while the call lasts');
    await leave(teacher);
    await until('a successor', () => isHost(pupil));
    assert.ok(!(await kept(teacher)).includes(secret), 'erased by Leave');
    // Whoever opens the room in this browser later has no power.
    const stranger = await teacher.context().newPage();
    await join(stranger, server.url, room, { name: 'Somebody' });
    assert.equal(await isHost(stranger), false);
    // Who made the room gets it back where they left it.
    await teacher.getByRole('button', { name: 'Rejoin' }).click();
    await teacher.getByRole('button', { name: 'Join', exact: true }).click();
    await teacher.getByRole('button', { name: 'Leave', exact: true }).waitFor();
    assert.equal(await isHost(teacher), true);
    await until('the successor steps down', async () => !(await isHost(pupil)));
    await teacher.context().close();
    await pupil.context().close();
  });
}

test('the end of the room and "Forget this device" erase the power', async () => {
  const room = newRoom();
  const page = await participant(browser, server.url, room, { name: 'Host', topology: 'mesh' });
  const secret = await token(page);
  page.on('dialog', (dialog) => dialog.accept());
  await page.getByRole('button', { name: 'Settings' }).click();
  await page.getByRole('button', { name: 'Forget this device' }).click();
  await page.getByText('Everything that this browser had stored is erased.').waitFor();
  assert.deepEqual(JSON.parse(await kept(page)), [{}, {}], 'nothing is kept');
  await page.getByRole('button', { name: 'Close' }).click();
  assert.equal(await isHost(page), true, 'the call goes on');
  await page.reload();
  await page.getByRole('textbox', { name: 'Your name' }).fill('Guest');
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await page.getByRole('button', { name: 'Leave', exact: true }).waitFor();
  assert.ok(!(await kept(page)).includes(secret));

  const ended = newRoom();
  const host = await participant(browser, server.url, ended, { name: 'Host', topology: 'mesh' });
  const other = await token(host);
  assert.ok((await kept(host)).includes(other));
  await host.evaluate(() => window.visavis.session.send({ type: 'host', action: 'end' }));
  await host.getByRole('heading', { name: 'The host has ended the call' }).waitFor();
  assert.ok(!(await kept(host)).includes(other));
  for (const one of [page, host]) await one.context().close();
});

test('a meeting is kept until a day after its end', async () => {
  const page = await newPage(browser);
  await page.goto(`${server.url}/meetings`);
  await page.getByRole('textbox', { name: 'Title' }).fill('Standup');
  await page.getByRole('button', { name: 'Schedule', exact: true }).click();
  await page.getByRole('heading', { name: 'Standup' }).waitFor();
  const meetings = () => page.evaluate(() => JSON.parse(localStorage.getItem('visavis.meetings') ?? '[]'));
  const [one] = await until('its end', async () => ((await meetings())[0]?.until ? meetings() : null));
  const hours = (one.until - Date.now()) / 3_600_000;
  assert.ok(hours > 24 && hours < 28, `${hours} h`);
  await page.clock.install({ time: one.until + 1000 });
  await page.goto(`${server.url}/meetings`);
  await page.getByText('None in this browser yet.').waitFor();
  await page.context().close();
});

test('the recordings are found from the browser\'s own power, and from the end screen', async (context) => {
  const recorder = await Server.start('--record', 'all');
  const { features } = await (await fetch(`${recorder.url}/version`)).json();
  if (!features.includes('recording')) {
    await recorder.close();
    return context.skip('this server was built without a recorder');
  }
  const room = newRoom();
  const host = await participant(browser, recorder.url, room, { name: 'Host', topology: 'sfu' });
  const guest = await participant(browser, recorder.url, room, { name: 'Guest' });
  await until('a recording', () => host.evaluate(() => window.visavis.room.recording));
  // In another tab, by the bare address.
  const there = await host.context().newPage();
  await there.goto(`${recorder.url}/r/${room}/recordings`);
  await until('a list', async () => {
    await there.reload();
    return (await there.locator('.recording').count()) > 0;
  });
  const stranger = await guest.context().newPage();
  await stranger.goto(`${recorder.url}/r/${room}/recordings`);
  await stranger.getByText('Only hosts of the room see its recordings').waitFor();
  // What Leave erases is still in the link of the end screen.
  await leave(guest);
  assert.equal(await guest.getByRole('link', { name: 'Recordings of this call' }).count(), 0);
  await leave(host);
  await host.getByRole('link', { name: 'Recordings of this call' }).click();
  await host.locator('.recording').first().waitFor();
  assert.equal(new URL(host.url()).hash, '', 'the token is not in the address');
  await host.reload();
  await host.locator('.recording').first().waitFor();
  for (const page of [host, guest]) await page.context().close();
  await recorder.close();
});
