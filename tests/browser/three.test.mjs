// A third participant brings a room over from peer to peer to the media server, and a room may be there from the start.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, mediaFlows, newRoom, participant, received, Server, until } from './harness.mjs';

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

/** Waits until that many videos on the page move, and something new is heard. */
async function seesAndHears(page, others) {
  const look = () => page.locator('[data-peer] video').evaluateAll((videos) => videos.map((video) => video.videoWidth > 0 && video.currentTime));
  const heard = async () => Object.values(await received(page)).reduce((sum, { energy }) => sum + energy, 0);
  const [before, silence] = [await look(), await heard()];
  await until(`moving pictures of ${others}`, async () => {
    const now = await look();
    return now.length === others && now.every((time, index) => time > (before[index] || 0) + 0.5);
  });
  await until('sound', async () => (await heard()) > silence);
}

const topology = (page) => page.evaluate(() => window.visavis.room.topology);

test('the third participant brings everybody over to the media server', async () => {
  const room = newRoom();
  const pages = [];
  for (const name of ['Ada', 'Grace']) pages.push(await participant(browser, server.url, room, { name, topology: 'auto' }));
  for (const page of pages) {
    await mediaFlows(page, 1);
    assert.equal(await topology(page), 'mesh');
  }
  pages.push(await participant(browser, server.url, room, { name: 'Alan' }));
  for (const page of pages) {
    await until('the change of topology', async () => (await topology(page)) === 'sfu');
    await seesAndHears(page, 2);
    assert.deepEqual(page.problems, []);
  }
  // Whoever leaves is gone; the two others stay together.
  await pages[1].getByRole('button', { name: 'Leave' }).click();
  for (const page of [pages[0], pages[2]]) await seesAndHears(page, 1);
  for (const page of pages) await page.context().close();
});

test('a room that is on the media server from the start', async () => {
  const room = newRoom();
  const pages = [];
  for (const [name, transport] of [['Ada', 'websocket'], ['Grace', 'sse']]) {
    pages.push(await participant(browser, server.url, room, { name, transport, topology: 'sfu' }));
  }
  for (const page of pages) {
    assert.equal(await topology(page), 'sfu');
    await seesAndHears(page, 1);
    assert.deepEqual(page.problems, []);
  }
  for (const page of pages) await page.context().close();
});
