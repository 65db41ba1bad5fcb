// The studio page and the watch page of a broadcast.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, newPage, newRoom, selfId, Server, until } from './harness.mjs';

let server, browser;
before(async () => {
  server = await Server.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

async function enter(page, room, role, name) {
  await page.goto(`${server.url}/r/${room}?${new URLSearchParams({ role, name })}`);
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await page.getByRole('button', { name: 'Leave', exact: true }).waitFor();
  return page;
}
const studio = async (room, name) => enter(await newPage(browser), room, 'broadcaster', name);
const watch = async (room, name, options) => enter(await newPage(browser, options), room, 'viewer', name);
const close = (...pages) => Promise.all(pages.map((page) => page.context().close()));
const live = (page) => page.locator('.live-badge');

/** Waits until the pictures of these and no others move. */
function sees(page, ids) {
  const look = () => page.locator('[data-peer] video').evaluateAll((videos) =>
    videos.map((video) => [video.closest('[data-peer]').dataset.peer, video.videoWidth > 0 ? video.currentTime : 0]));
  return until(`moving pictures of ${ids.length}`, async () => {
    const before = new Map(await look());
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 250)));
    const now = await look();
    return now.length === ids.length && now.every(([id, time]) => ids.includes(id) && time > (before.get(id) ?? Infinity));
  });
}

test('a viewer waits, watches, and waits again', async () => {
  const room = newRoom();
  const bob = await watch(room, 'Bob');
  await bob.getByText('The broadcast has not begun yet').waitFor();
  for (const name of ['Mute microphone', 'Unmute microphone', 'Turn camera on', 'Share screen']) {
    assert.equal(await bob.getByRole('button', { name, exact: true }).count(), 0, name);
  }
  assert.equal(await bob.locator('.tile').count(), 0);
  assert.equal(await live(bob).isVisible(), false);

  const ada = await studio(room, 'Ada');
  await sees(bob, [await selfId(ada)]);
  for (const page of [ada, bob]) {
    await live(page).waitFor();
    await page.getByRole('img', { name: '1 person is watching' }).waitFor();
  }
  assert.equal(await bob.getByText('has not begun').isVisible(), false);
  await bob.getByRole('button', { name: 'Chat', exact: true }).click();
  await bob.getByRole('textbox', { name: 'Message' }).fill('Good evening');
  await bob.keyboard.press('Enter');
  await ada.getByText('Bob: Good evening').waitFor();

  await ada.getByRole('button', { name: 'Leave', exact: true }).click();
  await bob.getByText('Nobody is on air at the moment').waitFor();
  await live(bob).waitFor({ state: 'hidden' });
  assert.deepEqual([...ada.problems, ...bob.problems], []);
  await close(ada, bob);
});

test('two broadcasters, one of whom reloads, and a viewer on a phone', async () => {
  const room = newRoom();
  const ada = await studio(room, 'Ada');
  await ada.getByText('Nobody is watching right now').waitFor();
  await ada.getByText(`/r/${room}?role=viewer`).waitFor();
  const grace = await studio(room, 'Grace');
  const bob = await watch(room, 'Bob', { viewport: { width: 390, height: 844 } });
  await sees(bob, [await selfId(ada), await selfId(grace)]);
  await sees(ada, [await selfId(grace)]);
  // The same client again, before the server could miss the first: in its place.
  const before = await selfId(ada);
  await ada.evaluate(() => (window.visavis.leave = () => {}));
  await enter(ada, room, 'broadcaster', 'Ada');
  assert.notEqual(await selfId(ada), before);
  await sees(bob, [await selfId(ada), await selfId(grace)]);
  assert.deepEqual([...ada.problems, ...grace.problems, ...bob.problems], []);
  await close(ada, grace, bob);
});

test('a viewer who is invited to speak has a camera from then on', async () => {
  const room = newRoom();
  const ada = await studio(room, 'Ada');
  const bob = await watch(room, 'Bob');
  await sees(bob, [await selfId(ada)]);
  await ada.getByRole('button', { name: 'People', exact: true }).click();
  await ada.getByRole('button', { name: 'Let speak: Bob' }).click();
  await bob.getByRole('button', { name: 'Turn camera on' }).click();
  await sees(ada, [await selfId(bob)]);
  await sees(bob, [await selfId(ada)]);
  await close(ada, bob);
});
