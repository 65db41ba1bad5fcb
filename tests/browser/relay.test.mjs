// Calls that may use nothing but the built-in relay, over UDP and over TCP.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launch, mediaFlows, newPage, newRoom, Server } from './harness.mjs';

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

/** Leaves every connection of a page the relays over one transport alone. */
function onlyRelaysOver(transport) {
  const Original = window.RTCPeerConnection;
  const narrowed = (configuration) => ({
    ...configuration,
    iceTransportPolicy: 'relay',
    iceServers: (configuration?.iceServers ?? [])
      .map((entry) => ({ ...entry, urls: [entry.urls].flat().filter((url) => url.startsWith('turn:') && url.endsWith(`transport=${transport}`)) }))
      .filter((entry) => entry.urls.length > 0),
  });
  window.RTCPeerConnection = class extends Original {
    constructor(configuration) {
      super(narrowed(configuration));
    }
    setConfiguration(configuration) {
      super.setConfiguration(narrowed(configuration));
    }
  };
}

for (const transport of ['udp', 'tcp']) {
  test(`a call by way of the relay over ${transport}`, async () => {
    const room = newRoom();
    const pages = [];
    for (const name of ['Ada', 'Grace']) {
      const page = await newPage(browser);
      await page.addInitScript(onlyRelaysOver, transport);
      await join(page, server.url, room, { name, topology: 'mesh' });
      pages.push(page);
    }
    for (const page of pages) {
      await mediaFlows(page, 1);
      const used = await page.evaluate(async () => {
        const [[, connection]] = window.visavis.connections();
        const stats = await connection.getStats();
        const pair = [...stats.values()].find((report) => report.type === 'candidate-pair' && report.nominated && report.state === 'succeeded');
        const local = stats.get(pair.localCandidateId);
        return { type: local.candidateType, protocol: local.relayProtocol };
      });
      assert.deepEqual(used, { type: 'relay', protocol: transport });
      assert.deepEqual(page.problems, []);
    }
    for (const page of pages) await page.context().close();
  });
}
