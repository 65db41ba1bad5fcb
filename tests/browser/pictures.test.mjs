// Why a picture is small, and pictures that are not asked for.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { flows, join, launch, newPage, newRoom, participant, selfId, Server, until } from './harness.mjs';

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
  const report = (level, why, rid) => grace.evaluate(([peer, level, reason, layer]) => {
    const { track } = window.visavis.peer(peer).tracks.find(({ kind }) => kind === 'video');
    const say = () => window.visavis.session.emit('event', { type: 'quality', peer, track, level, reason, layer });
    // Again and again, since the server may have something to say of its own.
    clearInterval(window.saying);
    window.saying = setInterval(say, 200);
    say();
  }, [id, level, why, rid]);
  await grace.keyboard.press('s');
  await grace.getByRole('cell', { name: /^≤ \d+×\d+$/ }).waitFor();
  await report(2, 'own-network', 'h');
  await grace.getByRole('cell', { name: 'h', exact: true }).waitFor();
  await grace.keyboard.press('s');
  await grace.getByRole('cell').first().waitFor({ state: 'hidden' });
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

/** Chooses what pictures may cost, in the settings. */
async function spend(page, choice) {
  await page.getByRole('button', { name: 'Settings', exact: true }).click();
  await page.getByLabel('Data for pictures').selectOption({ label: choice });
  await page.keyboard.press('Escape');
}

/** The layers of the camera that a page sends. */
const sends = (page) => page.evaluate(() => window.visavis.connections().get('publish').getSenders()
  .find(({ track }) => track?.kind === 'video').getParameters().encodings.filter(({ active }) => active).length);

/** The width of the pictures that a page decodes now. */
const width = (page) => page.evaluate(() => [...document.querySelectorAll('[data-peer] video')].find(({ videoWidth }) => videoWidth > 0)?.videoWidth);

/** Waits until a page decodes more pictures, small or large ones. A browser that is short of time sends them smaller still. */
async function shows(page, size) {
  await until(`${size} pictures`, async () => ((await width(page)) > 320) === (size === 'large'));
  await flows(page, 1);
}

test('data is saved on pictures, received and sent, and the choice is remembered', async () => {
  const room = newRoom();
  const ada = await participant(browser, server.url, room, { name: 'Ada', topology: 'sfu' });
  const grace = await participant(browser, server.url, room, { name: 'Grace' });
  await shows(grace, 'large');
  const tile = grace.locator(`[data-peer="${await selfId(ada)}"]`);
  await spend(grace, 'Small pictures');
  await shows(grace, 'small');
  await until('one layer', async () => (await sends(grace)) === 1);
  await shows(ada, 'small');
  await tile.getByText('Small picture: you save data').waitFor();
  await ada.locator('[data-peer]').getByText('Small picture: the sender saves data').waitFor();
  await spend(grace, 'Sound only');
  await tile.getByText('Pictures are off to save data').waitFor();
  await grace.getByRole('button', { name: 'Turn camera on' }).waitFor();
  await ada.locator('[data-peer].no-picture').waitFor();
  await until('nothing that nobody sees is sent', async () => (await sends(ada)) === 0);
  await tile.getByRole('button', { name: 'Show the picture: Ada' }).click();
  await shows(grace, 'small');
  await tile.hover();
  await tile.getByRole('button', { name: 'Hide the picture: Ada' }).click();
  await until('nothing again', async () => (await sends(ada)) === 0);
  await join(grace, server.url, room);
  await tile.getByText('Pictures are off to save data').waitFor();
  await grace.getByRole('button', { name: 'Turn camera on' }).waitFor();
  await spend(grace, 'All pictures, as good as possible');
  await shows(grace, 'large');
  assert.deepEqual([...ada.problems, ...grace.problems], []);
  for (const page of [ada, grace]) await page.context().close();
});

test('without the media server the other side sends less, or no pictures', async () => {
  const room = newRoom();
  const ada = await participant(browser, server.url, room, { name: 'Ada', topology: 'mesh' });
  const grace = await participant(browser, server.url, room, { name: 'Grace' });
  await shows(grace, 'large');
  await spend(grace, 'Small pictures');
  await shows(grace, 'small');
  await shows(ada, 'small');
  await spend(grace, 'Sound only');
  const direction = (page) => page.evaluate(() => {
    const [connection] = window.visavis.connections().values();
    return connection.getTransceivers().find(({ receiver }) => receiver.track.kind === 'video').currentDirection;
  });
  await until('no pictures to Grace', async () => (await direction(ada)) === 'recvonly');
  await grace.getByRole('button', { name: 'Show the picture: Ada' }).click();
  await shows(grace, 'small');
  await spend(grace, 'All pictures, as good as possible');
  await shows(grace, 'large');
  assert.deepEqual([...ada.problems, ...grace.problems], []);
  for (const page of [ada, grace]) await page.context().close();
});
