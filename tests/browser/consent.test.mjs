// Who comes into a room that is recorded sends nothing before it was said, and before a yes where the operator wants one.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decoded, launch, mediaFlows, newPage, newRoom, participant, Server, until } from './harness.mjs';
import { openStage } from './made-up-call.mjs';

const servers = {};
let browser;
before(async () => {
  servers.plain = await Server.start();
  servers.asking = await Server.start('--recording-consent');
  browser = await launch();
});
after(async () => {
  await browser?.close();
  for (const server of Object.values(servers)) await server.close();
});

const closeAll = (...pages) => Promise.all(pages.map((page) => page.context().close()));
const mark = (page) => page.getByRole('img', { name: 'This call is being recorded' });

/** A room with one in it who has it recorded. */
async function recorded(server) {
  const room = newRoom();
  const host = await participant(browser, server.url, room, { name: 'Host', topology: 'sfu' });
  await host.getByRole('button', { name: 'People', exact: true }).click();
  await host.getByText('Host controls').click();
  await host.getByRole('button', { name: 'Record the call' }).click();
  await until('the recording', () => host.evaluate(() => window.visavis.room.recording));
  assert.equal(await host.evaluate(() => window.visavis.held), false, 'whoever has it recorded agrees');
  return { room, host };
}

/** How many packets a page has sent, and what the others are told of its devices. */
const sends = (page) => page.evaluate(async () => {
  let packets = 0;
  for (const connection of window.visavis.connections().values()) {
    for (const report of (await connection.getStats()).values()) packets += report.type === 'outbound-rtp' ? report.packetsSent : 0;
  }
  const { camera, microphone } = window.visavis.self;
  return { packets, camera, microphone };
});

test('with consent required nothing is sent before consent, and everything after it', async () => {
  const { room, host } = await recorded(servers.asking);
  const ada = await participant(browser, servers.asking.url, room, { name: 'Ada' });
  const question = ada.getByRole('alert').filter({ hasText: 'This call is being recorded. Nobody sees or hears you' });
  await question.waitFor();
  await mark(ada).waitFor();
  await ada.locator('.tile.self').getByText('Not seen by the others yet').waitFor();
  // She sees the others meanwhile.
  await until('the host is seen', async () => Object.values(await decoded(ada)).some(({ frames }) => frames > 5));
  assert.deepEqual(await sends(ada), { packets: 0, camera: false, microphone: false });
  await host.locator('[data-peer].no-picture').waitFor();
  await ada.getByRole('button', { name: 'Agree and take part' }).click();
  await question.waitFor({ state: 'hidden' });
  await host.locator('[data-peer]:not(.no-picture)').waitFor();
  await until('the host sees her', async () => Object.values(await decoded(host)).some(({ frames, energy }) => frames > 5 && energy > 0));
  assert.deepEqual([...host.problems, ...ada.problems], []);
  await closeAll(host, ada);
});

test('a recording that begins later asks the participants for consent', async () => {
  const room = newRoom();
  const host = await participant(browser, servers.asking.url, room, { name: 'Host', topology: 'sfu' });
  const ada = await participant(browser, servers.asking.url, room, { name: 'Ada' });
  await mediaFlows(host, 1);
  await host.getByRole('button', { name: 'People', exact: true }).click();
  await host.getByText('Host controls').click();
  await host.getByRole('button', { name: 'Record the call' }).click();
  await ada.getByRole('button', { name: 'Agree and take part' }).waitFor();
  await host.locator('[data-peer].no-picture').waitFor();
  await host.getByRole('button', { name: 'Stop recording' }).click();
  await ada.getByRole('button', { name: 'Agree and take part' }).waitFor({ state: 'hidden' });
  await host.locator('[data-peer]:not(.no-picture)').waitFor();
  await closeAll(host, ada);
});

test('without required consent the page announces the recording, then sends', async () => {
  const { room, host } = await recorded(servers.plain);
  const ada = await newPage(browser);
  await ada.addInitScript(() => {
    // What the page knew when the first track was put on a line to be sent.
    window.order = [];
    new MutationObserver(() => {
      const said = document.querySelector('.toasts')?.textContent.includes('This call is being recorded');
      if (said && !window.order.includes('said')) window.order.push('said');
    }).observe(document, { childList: true, subtree: true });
    const add = RTCPeerConnection.prototype.addTransceiver;
    RTCPeerConnection.prototype.addTransceiver = function (track, ...rest) {
      if (track instanceof MediaStreamTrack && !window.order.includes('sent')) window.order.push('sent');
      return add.call(this, track, ...rest);
    };
  });
  await ada.goto(`${servers.plain.url}/r/${room}?name=Ada`);
  await ada.getByRole('button', { name: 'Join', exact: true }).click();
  await mark(ada).waitFor();
  await until('the host sees her', async () => Object.values(await decoded(host)).some(({ frames, energy }) => frames > 5 && energy > 0));
  assert.deepEqual(await ada.evaluate(() => window.order), ['said', 'sent']);
  await closeAll(host, ada);
});

test('the recording mark is red, visible in every size, and read out', async () => {
  const page = await newPage(browser);
  await openStage(page, servers.plain.url, { room: { recording: true } });
  await page.getByRole('status').getByText('This call is being recorded').waitFor();
  await page.evaluate(() => window.madeUp.people(5));
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    for (const [width, height] of [[320, 480], [390, 844], [844, 390], [768, 1024], [1280, 800], [1920, 1080]]) {
      await page.setViewportSize({ width, height });
      const box = await mark(page).boundingBox();
      assert.ok(box && box.x >= 0 && box.x + box.width <= width && box.y >= 0 && box.y + box.height <= height, `${width}x${height}: ${JSON.stringify(box)}`);
      const [red, green, blue] = (await mark(page).evaluate((element) => getComputedStyle(element).color)).match(/\d+/g).map(Number);
      assert.ok(red > 1.5 * green && red > 1.4 * blue, `${red} ${green} ${blue}`);
      const buttons = await page.locator('.call-header :is(a, button)').evaluateAll((all) => all.map((one) => one.getBoundingClientRect().right));
      assert.ok(buttons.every((right) => right <= width), `${width}: ${buttons}`);
    }
  }
  // In a broadcast too, where there is less room.
  await page.evaluate(() => {
    const { event, call, peer } = window.madeUp;
    event({ type: 'room-updated', room: { ...call.room, viewers: 1234 } });
    event({ type: 'peer-joined', peer: peer(50, { role: 'broadcaster', live: true }) });
  });
  await page.getByText('Live', { exact: true }).waitFor();
  await page.setViewportSize({ width: 320, height: 480 });
  const all = await page.locator('.call-header > :visible').evaluateAll((parts) => parts.map((part) => part.getBoundingClientRect().right));
  assert.ok(all.every((right) => right <= 320), all.join());
  assert.ok((await mark(page).boundingBox()).width > 10);
  await page.context().close();
});

test('a tile shows that it waits for its picture, and after a while why', async () => {
  const page = await newPage(browser);
  await openStage(page, servers.plain.url);
  await page.evaluate(() => {
    window.madeUp.people(4);
    window.madeUp.person(1, { camera: true });
  });
  const tile = (index) => page.locator(`[data-peer="peer-${index}"]`);
  await tile(1).getByText('Waiting for the picture').waitFor();
  assert.equal(await tile(2).getByText('Waiting').count(), 0, 'only where a camera is on');
  await tile(1).getByText('The connection for picture and sound is not established yet.').waitFor();
  await page.evaluate(() => window.madeUp.speak([1]));
  await tile(1).getByText('No picture arrives from the sender.').waitFor();
  await page.evaluate(() => window.madeUp.arrive(1, { packetsReceived: 500, framesDecoded: 0 }));
  await tile(1).getByText('not sent a complete picture yet').waitFor();
  await page.evaluate(() => window.madeUp.event({ type: 'quality', peer: 'peer-1', level: 0, reason: 'own-network' }));
  await tile(1).getByText('too slow for a picture').waitFor();
  await page.evaluate(() => window.madeUp.person(1, { camera: false }));
  await tile(1).locator('.tile-notice').waitFor({ state: 'hidden' });
  await page.context().close();
});
