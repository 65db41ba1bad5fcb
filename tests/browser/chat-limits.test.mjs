// A thousand lines of chat through the server's limits and through cuts: each one that was acknowledged arrives once, in order.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch, newPage, newRoom, Server, until, Wire } from './harness.mjs';

const LINES = 1000;
/** The sender's and the listener's connections are cut when so many lines have arrived. */
const CUTS = [40, 260, 600];

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

/** A member of a room without devices and without a page, on a wire of its own. */
async function member(room, name, transport) {
  const wire = await Wire.to(server);
  const page = await newPage(browser);
  await page.goto(`${wire.url}/check`);
  await page.evaluate(async ([to, who, over]) => {
    const { Call } = await import('/sdk/index.js');
    const call = new Call({ transports: [over] });
    Object.assign(window, { call, heard: [], acknowledged: [], refused: [] });
    call.on('chat', ({ text }) => window.heard.push(text));
    await call.join({ room: to, name: who });
  }, [room, name, transport]);
  return { page, wire };
}

// The server's limits set the pace, so the transports need not wait for each other.
describe('a thousand lines', { concurrency: true }, () => {
  for (const transport of ['websocket', 'sse', 'socketio']) {
    test(`over ${transport}`, async () => {
      const room = newRoom();
      const ada = await member(room, 'Ada', transport);
      const bob = await member(room, 'Bob', transport);
      const heard = () => bob.page.evaluate(() => window.heard.length);
      await ada.page.evaluate((count) => {
        for (let line = 0; line < count; line += 1) {
          window.call.chat(String(line)).then(() => window.acknowledged.push(String(line)), ({ code }) => window.refused.push(code));
        }
      }, LINES);
      for (const cut of CUTS) {
        await until(`${cut} lines`, async () => (await heard()) >= cut);
        for (const { wire } of [ada, bob]) wire.cut();
        await until('both to notice', async () => {
          const states = await Promise.all([ada, bob].map(({ page }) => page.evaluate(() => window.call.session.state)));
          return states.every((state) => state === 'reconnecting');
        });
        for (const { wire } of [ada, bob]) wire.mend();
      }
      await until('all answers', () => ada.page.evaluate((count) => window.acknowledged.length + window.refused.length === count, LINES));
      await until('all lines', async () => (await heard()) >= LINES);
      const lines = Array.from({ length: LINES }, (_, line) => String(line));
      assert.deepEqual(await ada.page.evaluate(() => window.refused), []);
      assert.deepEqual(await ada.page.evaluate(() => window.acknowledged), lines);
      assert.deepEqual(await bob.page.evaluate(() => window.heard), lines);
      assert.deepEqual(await ada.page.evaluate(() => window.heard), lines, 'the sender hears them as the others do');
      for (const { page, wire } of [ada, bob]) {
        await page.context().close();
        await wire.close();
      }
    });
  }
});
