// What the page does with names, chat, screens and devices.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launch, mediaFlows, newPage, newRoom, participant, received, Server, until, visit } from './harness.mjs';

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

test('who joins muted and without a picture sends neither, until they change their mind', async () => {
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
  ['denied', 'The browser may not use your camera and microphone.'],
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
