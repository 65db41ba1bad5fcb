// A camera in several sizes: the page publishes them, and the media server sends each viewer one.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { flows, launch, newRoom, participant, selfId, Server, until } from './harness.mjs';

const server = await Server.start();
let browser;
before(async () => {
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server.close();
});

/** The outgoing video, by the name of the layer. */
const sent = (page) => page.evaluate(async () => {
  const reports = [...(await window.visavis.connections().get('publish').getStats()).values()];
  const video = reports.filter(({ type, kind }) => type === 'outbound-rtp' && kind === 'video');
  return Object.fromEntries(video.map(({ rid, frameWidth, framesSent }) => [rid, { frameWidth, framesSent }]));
});

/** The incoming video: width and number of pictures of each. */
const seen = (page) => page.evaluate(async () => {
  const reports = [...(await window.visavis.connections().get('subscribe').getStats()).values()];
  const video = reports.filter(({ type, kind }) => type === 'inbound-rtp' && kind === 'video');
  return video.map(({ frameWidth, framesDecoded }) => ({ frameWidth, framesDecoded }));
});

const attend = (page, of, width, height) => page.evaluate(([peer, size]) => window.visavis.attend(peer, 'camera', size), [of, { width, height }]);

test('a viewer is sent the size that it asks for, from a camera in three sizes', async () => {
  const room = newRoom();
  const ada = await participant(browser, server.url, room, { name: 'Ada', topology: 'sfu' });
  const grace = await participant(browser, server.url, room, { name: 'Grace' });
  for (const page of [ada, grace]) await flows(page, 1);
  const layers = await until('three layers', async () => {
    const layers = await sent(ada);
    return Object.keys(layers).length === 3 && Object.values(layers).every(({ framesSent }) => framesSent > 3) && layers;
  });
  assert.deepEqual(Object.fromEntries(Object.entries(layers).map(([rid, { frameWidth }]) => [rid, frameWidth])), { q: 320, h: 640, f: 1280 });
  const id = await selfId(ada);
  for (const [[width, height], expected] of [[[1280, 720], 1280], [[320, 180], 320], [[640, 360], 640], [[1280, 200], 320], [[1280, 720], 1280]]) {
    await until(`pictures of ${expected}`, async () => {
      // The page asks for what its tile shows, perhaps later than this.
      await attend(grace, id, width, height);
      return (await seen(grace))[0].frameWidth === expected;
    });
    const [{ framesDecoded }] = await seen(grace);
    await until('more of them', async () => (await seen(grace))[0].framesDecoded > framesDecoded + 10);
  }
  assert.deepEqual([...ada.problems, ...grace.problems], []);
});
