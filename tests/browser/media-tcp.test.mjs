// The media server over TCP, on the page's own port (RFC 6544): what is left where a network lets no UDP through.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launch, mediaFlows, newPage, newRoom, Server } from './harness.mjs';

let server;
let browser;
before(async () => {
  server = await Server.start('--metrics-listen', '127.0.0.1:0');
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Leaves every connection of a page the candidates of TCP alone, and no relay. */
function withoutUdp() {
  const Original = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Original {
    constructor(configuration) {
      super({ ...configuration, iceServers: [] });
    }
    setConfiguration(configuration) {
      super.setConfiguration({ ...configuration, iceServers: [] });
    }
    setRemoteDescription({ type, sdp }) {
      return super.setRemoteDescription({ type, sdp: sdp.replaceAll(/a=candidate:\S+ 1 udp .*\r\n/g, '') });
    }
  };
}

test('a room of the media server over TCP alone', async () => {
  const room = newRoom();
  const pages = [];
  for (const name of ['Ada', 'Grace']) {
    const page = await newPage(browser);
    await page.addInitScript(withoutUdp);
    await join(page, server.url, room, { name, topology: 'sfu' });
    pages.push(page);
  }
  for (const page of pages) {
    await mediaFlows(page, 1);
    const ways = await page.evaluate(async () => {
      const found = [];
      for (const connection of window.visavis.connections().values()) {
        const stats = await connection.getStats();
        const transport = [...stats.values()].find((report) => report.type === 'transport');
        const { protocol, port } = stats.get(stats.get(transport.selectedCandidatePairId).remoteCandidateId);
        found.push(`${protocol} ${port}`);
      }
      return found;
    });
    assert.deepEqual(ways, Array(2).fill(`tcp ${server.port}`));
    // The media server knows it, and tells the client.
    const reached = { check: 'tcp', dtls: 'connected' };
    assert.deepEqual(await page.evaluate(() => window.visavis.session.mediaPath()), { publish: reached, subscribe: reached });
    assert.deepEqual(page.problems, []);
  }
  assert.equal((await server.metrics()).visavis_sfu_tcp_connections, 4);
  for (const page of pages) await page.context().close();
});
