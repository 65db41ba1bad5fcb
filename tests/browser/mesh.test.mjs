// Pages in one mesh room see and hear each other, over whatever transport.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, mediaFlows, newRoom, participant, Server, until } from './harness.mjs';

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

for (const transports of [
  ['websocket', 'websocket'],
  ['sse', 'sse'],
  ['socketio', 'socketio'],
  ['websocket', 'sse'],
  ['websocket', 'websocket', 'sse'],
]) {
  test(`${transports.join(' and ')} decode each other`, async () => {
    const room = newRoom();
    const pages = [];
    for (const [index, transport] of transports.entries()) {
      pages.push(await participant(browser, server.url, room, { name: `P${index}`, transport, topology: 'mesh' }));
    }
    const others = pages.length - 1;
    for (const page of pages) {
      await mediaFlows(page, others);
      assert.equal(await page.locator('[data-peer] video').count(), others);
      await until('pictures on the screen', () =>
        page.locator('[data-peer] video').evaluateAll((videos) => videos.every((video) => video.videoWidth > 0)));
      assert.deepEqual(page.problems, []);
    }
    const used = await Promise.all(pages.map((page) => page.evaluate(() => window.visavis.session.transportName)));
    assert.deepEqual(used, transports);
    for (const page of pages) await page.context().close();
  });
}

test('a peer that leaves disappears for the others at once', async () => {
  const room = newRoom();
  const [ada, grace] = [
    await participant(browser, server.url, room, { name: 'Ada', topology: 'mesh' }),
    await participant(browser, server.url, room, { name: 'Grace' }),
  ];
  await mediaFlows(ada, 1);
  await grace.getByRole('button', { name: 'Leave' }).click();
  await ada.locator('[data-peer]').waitFor({ state: 'detached' });
  await grace.getByRole('heading', { name: 'You have left the call' }).waitFor();
  const capturing = await grace.evaluate(() => window.visavis.media.camera !== null);
  assert.equal(capturing, false, 'the camera is given back');
  // Whoever closes the window leaves too.
  const alan = await participant(browser, server.url, room, { name: 'Alan' });
  await ada.locator('[data-peer]').waitFor();
  await alan.close({ runBeforeUnload: true });
  await ada.locator('[data-peer]').waitFor({ state: 'detached' });
});
