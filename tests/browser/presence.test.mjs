// Nobody looks alive who is not: a page that crashed, a line that is dead, a track that brings nothing.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { flows, launch, newRoom, participant, PATIENCE_MS, selfId, Server, until, Wire } from './harness.mjs';

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

/** Notes from now on when a tile is first seen to have something or nothing of it. */
const watch = (page, id) =>
  page.evaluate((peer) => {
    const tile = () => document.querySelector(`[data-peer="${peer}"][data-source="camera"]`);
    const shown = (element) => element !== null && element !== undefined && element.checkVisibility();
    const look = () => ({
      ring: tile()?.classList.contains('speaking') ?? false,
      bars: shown(tile()?.querySelector('.tile-quality')),
      notice: shown(tile()?.querySelector('.tile-notice')) ? tile().querySelector('.tile-notice').textContent : '',
      away: tile()?.classList.contains('away') ?? false,
    });
    window.looks = [];
    window.look = look;
    setInterval(() => window.looks.push({ at: performance.now(), ...look() }), 50);
  }, id);

/** How long after `since` something was seen for the last time, in milliseconds. */
const lastSeen = (page, since, what) =>
  page.evaluate(([from, key]) => (window.looks.filter((look) => look.at > from && look[key]).at(-1)?.at ?? from) - from, [since, what]);

const state = (page) => page.evaluate(() => window.look());
const now = (page) => page.evaluate(() => performance.now());

for (const topology of ['mesh', 'sfu']) {
  test(`a page that is killed has no ring after 2.5 s and no bars after 4 s (${topology})`, async () => {
    const room = newRoom();
    const ada = await participant(browser, server.url, room, { name: 'Ada', topology });
    const victims = await launch();
    const bob = await participant(victims, server.url, room, { name: 'Bob' });
    const id = await selfId(bob);
    await flows(ada, 1);
    await watch(ada, id);
    await until('a ring and bars', async () => {
      const { ring, bars } = await state(ada);
      return ring && bars;
    });
    const killed = await now(ada);
    // The renderer ends as in a crash: no page says goodbye.
    await bob.goto('chrome://crash').catch(() => {});
    await until('nothing of a life', async () => {
      const { ring, bars, away } = await state(ada);
      return !ring && !bars && away;
    });
    // As long as the old level would have been told.
    await until('time enough', async () => (await now(ada)) - killed > 6000);
    const [ring, bars] = [await lastSeen(ada, killed, 'ring'), await lastSeen(ada, killed, 'bars')];
    assert.ok(ring < 2500, `the ring was there for ${ring} ms`);
    assert.ok(bars < 4000, `the bars were there for ${bars} ms`);
    assert.equal((await state(ada)).notice, 'Connection lost');
    await victims.close();
    await ada.context().close();
  });

  test(`a track without media counts as no connection until media arrives (${topology})`, async () => {
    const room = newRoom();
    const ada = await participant(browser, server.url, room, { name: 'Ada', topology });
    const bob = await participant(browser, server.url, room, { name: 'Bob' });
    const id = await selfId(bob);
    await flows(ada, 1);
    await watch(ada, id);
    await until('bars', async () => (await state(ada)).bars);
    // Bob still says that microphone and camera are on, and his signalling is well.
    await bob.evaluate(async () => {
      window.muted = [];
      for (const connection of window.visavis.connections().values()) {
        for (const sender of connection.getSenders()) {
          if (!sender.track) continue;
          window.muted.push([sender, sender.track]);
          await sender.replaceTrack(null);
        }
      }
    });
    await until('no connection', async () => {
      const { bars, notice, ring, away } = await state(ada);
      return !bars && !ring && !away && notice === 'No connection';
    });
    await bob.evaluate(() => Promise.all(window.muted.map(([sender, track]) => sender.replaceTrack(track))));
    await until('bars again', async () => {
      const { bars, notice } = await state(ada);
      return bars && notice === '';
    });
    // What is switched off brings nothing, and is no fault.
    await bob.getByRole('button', { name: 'Turn camera off' }).click();
    await bob.getByRole('button', { name: 'Mute microphone' }).click();
    await until('both off', () => ada.evaluate((peer) => {
      const { microphone, camera } = window.visavis.peer(peer);
      return !microphone && !camera;
    }, id));
    const off = await now(ada);
    await until('time enough', async () => (await now(ada)) - off > 5000);
    const complaint = await ada.evaluate((from) => window.looks.some((look) => look.at > from && look.notice), off);
    assert.equal(complaint, false);
    for (const page of [ada, bob]) await page.context().close();
  });
}

test('a peer that has lost its connection is marked away until it returns', { timeout: 2 * PATIENCE_MS }, async () => {
  const wire = await Wire.to(server);
  const room = newRoom();
  const ada = await participant(browser, server.url, room, { name: 'Ada', topology: 'mesh' });
  const bob = await participant(browser, wire.url, room, { name: 'Bob' });
  const id = await selfId(bob);
  await flows(ada, 1);
  await watch(ada, id);
  const cut = await now(ada);
  wire.cut();
  const first = () => ada.evaluate((from) => window.looks.find((look) => look.at > from && look.away)?.at, cut);
  const told = (await until('away', first)) - cut;
  assert.ok(told < 2000, `${told} ms`);
  wire.mend();
  await until('back', async () => {
    const { away, notice } = await state(ada);
    return !away && notice === '';
  });
  await until('bars', async () => (await state(ada)).bars);
  await bob.context().close();
  await ada.context().close();
  await wire.close();
});
