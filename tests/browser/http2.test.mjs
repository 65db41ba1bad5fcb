// Event streams share one connection (HTTP/2): over HTTP/1.1 the six connections of a browser to one host would be taken
// by six tabs, and the seventh would wait for ever.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launch, newPage, newRoom, Server } from './harness.mjs';

const TABS = 7;

let server;
let browser;
before(async () => {
  server = await Server.start('--tls', 'auto');
  browser = await launch({ flags: ['--ignore-certificate-errors'] });
});
after(async () => {
  await browser?.close();
  await server?.close();
});

test('the seventh tab with an event stream works as the first one', async () => {
  const url = `https://localhost:${server.port}`;
  const first = await newPage(browser);
  const tabs = [first];
  while (tabs.length < TABS) tabs.push(await first.context().newPage());
  for (const tab of tabs) {
    // A room for each: no media, whose connections would hide a stalled stream.
    await join(tab, url, newRoom(), { name: 'Ada', transport: 'sse' });
    assert.equal(await tab.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol), 'h2');
  }
  for (const tab of tabs) {
    // The acknowledgement comes by the stream.
    await tab.evaluate(() => window.visavis.chat('Hello'));
    assert.equal(await tab.evaluate(() => performance.getEntriesByType('resource').some(({ name, nextHopProtocol }) => name.includes('/messages') && nextHopProtocol === 'h2')), true);
  }
  assert.deepEqual(first.problems, []);
  await first.context().close();
});
