// What the page does with names, chat, screens and devices.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { confirmed, join, launch, mediaFlows, newPage, newRoom, participant, received, Server, until, visit } from './harness.mjs';

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

test('the landing page opens a room, and takes names and links', async () => {
  const page = await newPage(browser);
  await page.goto(server.url);
  await page.getByRole('button', { name: 'Start a call' }).click();
  await page.waitForURL(/\/r\/[\w-]+$/);
  const link = page.url();
  await page.goto(server.url);
  await page.getByRole('textbox', { name: 'Room name, code or link' }).fill('no/such name!');
  await page.getByRole('button', { name: 'Join' }).click();
  await page.getByRole('alert').filter({ hasText: '1 to 64 characters' }).waitFor();
  await page.getByRole('textbox', { name: 'Room name, code or link' }).fill(link);
  await page.getByRole('button', { name: 'Join' }).click();
  await page.waitForURL(link);
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('markup in names and chat is text', async () => {
  const room = newRoom();
  const name = '<img src=x onerror=alert(1)><b>Eve</b>';
  const ada = await participant(browser, server.url, room, { name: 'Ada', topology: 'mesh' });
  const eve = await participant(browser, server.url, room, { name });
  await ada.locator('[data-peer]').getByText(name, { exact: true }).waitFor();
  await eve.getByRole('button', { name: 'Chat' }).click();
  await eve.getByRole('textbox', { name: 'Message' }).fill('<script>alert(2)</script>\n<i>x</i>');
  await eve.getByRole('button', { name: 'Send' }).click();
  await ada.getByRole('button', { name: 'Chat' }).click();
  await ada.getByRole('log').getByText('<script>alert(2)</script>').waitFor();
  assert.equal(await ada.locator('img, b:has-text("Eve"):not(:has-text("<b>")), .line-text i').count(), 0);
  assert.deepEqual([...ada.problems, ...eve.problems], []);
  for (const page of [ada, eve]) await page.context().close();
});

test('muting, camera and screen are seen by the other side', async () => {
  const room = newRoom();
  const ada = await participant(browser, server.url, room, { name: 'Ada', topology: 'mesh' });
  const grace = await participant(browser, server.url, room, { name: 'Grace' });
  await mediaFlows(ada, 1);
  await grace.getByRole('button', { name: 'Mute microphone', exact: true }).click();
  await ada.locator('[data-peer]').getByRole('img', { name: 'Microphone off' }).waitFor();
  await grace.getByRole('button', { name: 'Unmute microphone' }).click();
  await ada.locator('[data-peer]').getByRole('img', { name: 'Microphone off' }).waitFor({ state: 'hidden' });
  await grace.getByRole('button', { name: 'Turn camera off' }).click();
  await ada.locator('[data-peer].no-picture').waitFor();
  await grace.getByRole('button', { name: 'Turn camera on' }).click();
  await ada.locator('[data-peer]:not(.no-picture)').waitFor();
  await mediaFlows(ada, 1);
  await grace.getByRole('button', { name: 'Share screen' }).click();
  const screen = ada.locator('[data-peer][data-source="screen"] video');
  await screen.waitFor();
  await until('the screen is drawn', () => screen.evaluate((video) => video.videoWidth > 0));
  await grace.getByRole('button', { name: 'Stop sharing' }).click();
  await screen.waitFor({ state: 'detached' });
  // Once more, on the same line of the description, and from the other side too.
  await grace.getByRole('button', { name: 'Share screen' }).click();
  await ada.getByRole('button', { name: 'Share screen' }).click();
  for (const page of [ada, grace]) {
    const shown = page.locator('[data-peer][data-source="screen"] video');
    await until('both screens are drawn', () => shown.evaluate((video) => video.videoWidth > 0));
  }
  assert.deepEqual([...ada.problems, ...grace.problems], []);
  for (const page of [ada, grace]) await page.context().close();
});

test('a user who joins muted and without a picture sends neither until switching them on', async () => {
  const room = newRoom();
  const ada = await participant(browser, server.url, room, { name: 'Ada', topology: 'mesh' });
  const grace = await newPage(browser);
  await visit(grace, server.url, room, { name: 'Grace' });
  await grace.getByText('Join muted').click();
  await grace.getByRole('button', { name: 'Turn camera off' }).click();
  await grace.getByRole('button', { name: 'Join', exact: true }).click();
  await grace.getByRole('button', { name: 'Unmute microphone' }).waitFor();
  await ada.locator('[data-peer].no-picture').waitFor();
  await ada.locator('[data-peer]').getByRole('img', { name: 'Microphone off' }).waitFor();
  await mediaFlows(grace, 1);
  assert.deepEqual(Object.values(await received(ada)).map(({ frames }) => frames), [0]);
  await grace.getByRole('button', { name: 'Unmute microphone' }).click();
  await grace.getByRole('button', { name: 'Turn camera on' }).click();
  await mediaFlows(ada, 1);
  for (const page of [ada, grace]) await page.context().close();
});

for (const [devices, sentence] of [
  ['denied', 'This page is not allowed to use your camera and microphone.'],
  ['none', 'No camera and no microphone were found.'],
]) {
  test(`devices ${devices}: a sentence, and a call without them`, async () => {
    const room = newRoom();
    const other = await launch({ devices });
    const ada = await participant(browser, server.url, room, { name: 'Ada', topology: 'mesh' });
    const grace = await newPage(other);
    await visit(grace, server.url, room, { name: 'Grace' });
    await grace.getByText(sentence).waitFor();
    await grace.getByRole('button', { name: 'Join', exact: true }).click();
    await grace.getByRole('button', { name: 'Turn camera on' }).waitFor();
    await mediaFlows(grace, 1);
    await ada.locator('[data-peer].no-picture').waitFor();
    assert.deepEqual([...ada.problems, ...grace.problems], []);
    await ada.context().close();
    await other.close();
  });
}

test('a reloaded page takes the place of the one before', async () => {
  const room = newRoom();
  const ada = await participant(browser, server.url, room, { name: 'Ada', topology: 'mesh' });
  const grace = await participant(browser, server.url, room, { name: 'Grace' });
  await mediaFlows(ada, 1);
  await join(grace, server.url, room, { name: 'Grace' });
  await mediaFlows(grace, 1);
  await until('one other', async () => (await ada.locator('[data-peer]').count()) === 1);
  await mediaFlows(ada, 1);
  for (const page of [ada, grace]) await page.context().close();
});

test('a call that a button started has a name of three words, the same for everybody', async () => {
  const page = await newPage(browser);
  await page.goto(server.url);
  await page.getByRole('button', { name: 'Start a call' }).click();
  await page.waitForURL(/\/r\//);
  const id = new URL(page.url()).pathname.split('/')[2];
  const shown = (await page.locator('.room-name bdi').textContent()).trim();
  assert.match(shown, /^[A-Z][a-z]+ [a-z]+ [a-z]+$/);
  assert.equal(await page.title(), `${shown} – Visavis`);
  await page.getByRole('textbox', { name: 'Your name' }).fill('Ada');
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await page.getByRole('heading', { name: shown }).waitFor();
  assert.ok((await page.locator('.link-text').textContent()).endsWith(`/r/${id}`), 'the link stays what it is');
  const other = await participant(browser, server.url, id, { name: 'Grace' });
  await other.getByRole('heading', { name: shown }).waitFor();
  const chosen = await participant(browser, server.url, newRoom(), { name: 'Ada' });
  assert.match(await chosen.locator('h1').textContent(), /^test-/, 'a name that somebody chose stays');
  for (const closing of [page, other, chosen]) await closing.context().close();
});

test('after the end and after a removal the first button leads somewhere', async () => {
  const host = await newPage(browser);
  await host.goto(server.url);
  await host.getByRole('button', { name: 'Start a call' }).click();
  await host.getByRole('textbox', { name: 'Your name' }).fill('Host');
  await host.getByRole('button', { name: 'Join', exact: true }).click();
  await host.getByRole('button', { name: 'People', exact: true }).click();
  const room = await host.evaluate(() => window.visavis.room.id);
  const [eve, ada] = [await participant(browser, server.url, room, { name: 'Eve' }), await participant(browser, server.url, room, { name: 'Ada' })];
  const first = (page) => page.locator('.end .actions > :first-child');
  await host.getByRole('button', { name: 'Remove Eve' }).click();
  await confirmed(host, 'Remove');
  await eve.getByRole('heading', { name: 'The host has removed you' }).waitFor();
  assert.equal(await first(eve).textContent(), 'Home');
  assert.equal(await eve.getByRole('button', { name: 'Rejoin' }).count(), 0);
  await ada.getByRole('button', { name: 'Leave' }).click();
  assert.equal(await first(ada).textContent(), 'Rejoin');
  await host.getByRole('button', { name: 'End the call for all' }).click();
  await confirmed(host, 'End for all');
  await host.getByRole('heading', { name: 'The host has ended the call' }).waitFor();
  assert.equal(await first(host).textContent(), 'Home');
  assert.equal(await host.evaluate(() => document.activeElement.textContent), 'Home');
  for (const closing of [host, eve, ada]) await closing.context().close();
});

test('each way to start says what it is', async () => {
  for (const locale of ['en', 'de', 'es', 'ar']) {
    const page = await newPage(browser, { locale });
    await page.goto(server.url);
    await until('the texts', () => page.evaluate((tag) => document.documentElement.lang === tag, locale));
    const hints = await page.locator('#create, #call, #enter button, a.button').evaluateAll((ways) =>
      ways.map((way) => document.getElementById(way.getAttribute('aria-describedby'))?.textContent ?? ''));
    assert.equal(hints.length, 4);
    assert.ok(hints.every((hint) => hint.length > 20), `${locale}: ${hints}`);
    assert.equal(new Set(hints).size, 4);
    if (locale === 'en') assert.match(await page.locator('#call-hint').textContent(), /two people/);
    if (locale === 'en') assert.match(await page.locator('footer').textContent(), /From three people on, picture and sound go through this server/);
    await page.context().close();
  }
});

