// Two who cannot reach each other go over to the media server by themselves.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launch, mediaFlows, newPage, newRoom, Server, until } from './harness.mjs';

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

/** Candidates of another browser come to nothing, as behind a firewall; the server's stand in its descriptions. */
const firewall = () => {
  RTCPeerConnection.prototype.addIceCandidate = async () => {};
};

test('a pair without a path between them meets on the media server', async () => {
  const room = newRoom();
  const pages = [];
  for (const name of ['Ada', 'Grace']) {
    const page = await newPage(browser);
    await page.addInitScript(firewall);
    await join(page, server.url, room, { name, topology: 'auto' });
    pages.push(page);
  }
  const topology = (page) => page.evaluate(() => window.visavis.room.topology);
  assert.equal(await topology(pages[0]), 'mesh');
  for (const page of pages) {
    await until('the media server', async () => (await topology(page)) === 'sfu');
    await until('the picture', () => page.locator('[data-peer] video').evaluateAll(
      (videos) => videos.length === 1 && videos[0].videoWidth > 0));
    assert.deepEqual(page.problems, []);
  }
  for (const page of pages) await page.context().close();
});
