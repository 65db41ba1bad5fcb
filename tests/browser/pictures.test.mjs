// Why a picture is small, and pictures that are not asked for.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { flows, join, launch, newPage, newRoom, participant, selfId, Server } from './harness.mjs';

const server = await Server.start();
let browser;
before(async () => {
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server.close();
});

/** Somebody with a camera of few pixels, whose browser says what the test says of what limits it. */
async function limited(room) {
  const page = await newPage(browser);
  await page.addInitScript(() => {
    const { getUserMedia } = MediaDevices.prototype;
    MediaDevices.prototype.getUserMedia = function (wanted) {
      return getUserMedia.call(this, { ...wanted, ...(wanted.video ? { video: { width: 320, height: 180 } } : {}) });
    };
    const { getStats } = RTCPeerConnection.prototype;
    RTCPeerConnection.prototype.getStats = async function () {
      const reports = await getStats.call(this);
      return new Map([...reports].map(([id, report]) =>
        [id, report.type === 'outbound-rtp' && report.kind === 'video' ? { ...report, qualityLimitationReason: window.limit ?? 'none' } : report]));
    };
  });
  await join(page, server.url, room, { name: 'Ada', topology: 'sfu' });
  return page;
}

test('a small picture says why, as long as it lasts', async () => {
  const room = newRoom();
  const ada = await limited(room);
  const grace = await participant(browser, server.url, room, { name: 'Grace' });
  await flows(grace, 1);
  const id = await selfId(ada);
  const reason = grace.locator(`[data-peer="${id}"] .tile-small`);
  const report = (level, why) => grace.evaluate(([peer, level, reason]) => {
    const { track } = window.visavis.peer(peer).tracks.find(({ kind }) => kind === 'video');
    window.visavis.session.emit('event', { type: 'quality', peer, track, level, reason });
  }, [id, level, why]);
  await report(2, 'own-network');
  await reason.getByText('Small picture: your network is slow').waitFor();
  await report(4);
  await reason.waitFor({ state: 'hidden' });
  await ada.evaluate(() => {
    window.limit = 'bandwidth';
  });
  await reason.getByText('Small picture: the sender’s network is slow').waitFor();
  // Whoever comes later is told too.
  const alan = await participant(browser, server.url, room, { name: 'Alan' });
  await alan.locator(`[data-peer="${id}"]`).getByText('Small picture: the sender’s network is slow').waitFor();
  await ada.evaluate(() => {
    window.limit = 'none';
  });
  for (const page of [grace, alan]) await page.locator(`[data-peer="${id}"] .tile-small`).waitFor({ state: 'hidden' });
  assert.deepEqual([...ada.problems, ...grace.problems, ...alan.problems], []);
  for (const page of [ada, grace, alan]) await page.context().close();
});
