// Calls that may use nothing but the built-in relay, over UDP, TCP and TLS: to each other, and to the media server.

import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { join, launch, mediaFlows, newPage, newRoom, Server } from './harness.mjs';

const folder = mkdtempSync(path.join(tmpdir(), 'visavis-relay-'));
let server;
let browser;
before(async () => {
  // A server with a certificate of the operator's, which here is one that another server made for itself.
  const other = await Server.start('--tls', 'auto');
  const pem = path.join(folder, 'certificate.pem');
  copyFileSync(other.file('self-made-certificate.pem'), pem);
  await other.close();
  server = await Server.start('--tls-cert', pem, '--tls-key', pem, '--metrics-listen', '127.0.0.1:0');
  browser = await launch({ flags: ['--ignore-certificate-errors'] });
});
after(async () => {
  await browser?.close();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Leaves every connection of a page the relays over one transport alone. */
function onlyRelaysOver(transport) {
  const Original = window.RTCPeerConnection;
  const [scheme, carrier] = { udp: ['turn:', 'udp'], tcp: ['turn:', 'tcp'], tls: ['turns:', 'tcp'] }[transport];
  const fits = (url) => url.startsWith(scheme) && url.endsWith(`transport=${carrier}`);
  const narrowed = (configuration) => ({
    ...configuration,
    iceTransportPolicy: 'relay',
    iceServers: (configuration?.iceServers ?? [])
      .map((entry) => ({ ...entry, urls: [entry.urls].flat().filter(fits) }))
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

/** Packets that went out of relays, came into them, and did so without leaving the process. */
async function relayed() {
  const metrics = await server.metrics();
  const count = (name) => metrics[`visavis_turn_${name}_total`];
  return { out: count('packets_to_peers'), in: count('packets_to_clients'), inside: count('packets_in_process') };
}

/** By what the pairs in use of all connections of a page go: `relay over tls`. */
function waysInUse(page) {
  return page.evaluate(async () => {
    const ways = [];
    for (const connection of window.visavis.connections().values()) {
      const stats = await connection.getStats();
      const transport = [...stats.values()].find((report) => report.type === 'transport');
      const local = stats.get(stats.get(transport.selectedCandidatePairId).localCandidateId);
      ways.push(`${local.candidateType} over ${local.relayProtocol}`);
    }
    return ways;
  });
}

for (const topology of ['mesh', 'sfu']) {
  for (const transport of ['udp', 'tcp', 'tls']) {
    const where = topology === 'mesh' ? 'a call' : 'a room of the media server';
    test(`${where} by way of the relay over ${transport}`, async () => {
      const before = await relayed();
      const room = newRoom();
      const pages = [];
      for (const name of ['Ada', 'Grace']) {
        const page = await newPage(browser);
        await page.addInitScript(onlyRelaysOver, transport);
        await join(page, server.url, room, { name, topology });
        pages.push(page);
      }
      for (const page of pages) {
        await mediaFlows(page, 1);
        const connections = topology === 'mesh' ? 1 : 2;
        assert.deepEqual(await waysInUse(page), Array(connections).fill(`relay over ${transport}`));
        assert.deepEqual(page.problems, []);
      }
      for (const page of pages) await page.context().close();
      const after = await relayed();
      assert.ok(after.out > before.out + 100 && after.in > before.in + 100, 'packets are counted');
      // To the media server and back, and from one relay to another, without a socket in between.
      const crossings = topology === 'sfu' ? after.out - before.out + after.in - before.in : after.in - before.in;
      assert.equal(after.inside - before.inside, crossings);
    });
  }
}
