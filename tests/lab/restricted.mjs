// Calls out of networks that let little through: each cell is a call between two browsers, in the media server and in a
// mesh. Prints the time from the click on Join to the first picture.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { join, mediaFlows, newPage, newRoom, PATIENCE_MS, until, visit } from '../browser/harness.mjs';
import { Lab, SERVER, SERVER_V6 } from './namespaces.mjs';

/** A server that is reached by one port of TCP and one of UDP, as in a container that publishes these. */
const PUBLISHED = `table ip published {
chain before {
type nat hook prerouting priority -100
tcp dport 443 redirect to :8080
}
chain input {
type filter hook input priority 0
iif "lo" accept
ct state established,related accept
udp dport 443 accept
ct status dnat accept
meta l4proto { tcp, udp } drop
}
}
`;

/** The same where the container's port has another number, for TCP and UDP both. */
const CONTAINER = PUBLISHED.replace('tcp dport 443 redirect to :8080', 'meta l4proto { tcp, udp } th dport 443 redirect to :8080').replace('udp dport 443 accept\n', '');

/** What the networks of both clients forward, and what the server's lets in. */
const NETWORKS = {
  'UDP blocked': { forward: 'meta l4proto udp drop' },
  'all but TCP 443 blocked': { forward: 'meta l4proto udp drop\niifname "lan" tcp dport != 443 drop' },
  'the server publishes one port': { server: PUBLISHED, place: ['--media-port', '443'] },
  'a container publishes one port': { server: CONTAINER, place: ['--one-port'] },
  'IPv6 alone': { ipv6: true },
};
const URL = `http://${SERVER}:443`;
const URL_V6 = `http://[${SERVER_V6}]:443`;

const table = [];
after(() => {
  console.log('\n| network | call | path | first picture, ms |\n| --- | --- | --- | --- |');
  for (const row of table) console.log(`| ${row.join(' | ')} |`);
});

/** The paths in use, as `prflx to host over tcp`. */
function paths(page) {
  return page.evaluate(async () => {
    const found = new Set();
    for (const connection of window.visavis.connections().values()) {
      const stats = await connection.getStats();
      const transport = [...stats.values()].find((report) => report.type === 'transport');
      const pair = stats.get(transport.selectedCandidatePairId);
      const [local, remote] = [stats.get(pair.localCandidateId), stats.get(pair.remoteCandidateId)];
      found.add(`${local.candidateType} to ${remote.candidateType} over ${local.relayProtocol ?? local.protocol}`);
    }
    return [...found].join(', ');
  });
}

for (const [network, { forward, server, place, ipv6 }] of Object.entries(NETWORKS)) {
  for (const topology of ['sfu', 'mesh']) {
    test(`${network}, ${topology}`, async () => {
      const lab = new Lab('port', 'port');
      try {
        const restricted = `table inet restricted {\nchain forward {\ntype filter hook forward priority 0\n${forward}\n}\n}\n`;
        if (forward) for (const side of ['A', 'B']) lab.rules(`nat${side}`, restricted);
        if (server) lab.rules('server', server);
        if (ipv6) lab.useIpv6Alone();
        const url = ipv6 ? URL_V6 : URL;
        const where = place ? ['--listen', '[::]:8080', '--public-url', URL, ...place] : ['--listen', '[::]:443'];
        await lab.startServer('--tls', 'off', ...where);
        const room = newRoom();
        const pages = [];
        for (const side of ['A', 'B']) {
          const browser = await lab.startBrowser(side, `--unsafely-treat-insecure-origin-as-secure=${url}`);
          const page = await newPage(browser);
          if (side === 'A') await join(page, url, room, { name: side, topology });
          else await visit(page, url, room, { name: side, topology });
          pages.push(page);
        }
        const clicked = performance.now();
        await pages[1].getByRole('button', { name: 'Join', exact: true }).click();
        const picture = () => pages[1].evaluate(() => [...document.querySelectorAll('[data-peer] video')].some((video) => video.videoWidth > 0));
        await until('a picture', picture);
        const took = Math.round(performance.now() - clicked);
        for (const page of pages) await mediaFlows(page, 1);
        const way = await paths(pages[1]);
        table.push([network, topology, way, took]);
        // Media of the server goes over UDP where that is published.
        if (ipv6) assert.match(way, topology === 'sfu' ? /^(host|prflx) to host over udp$/ : /^relay to relay over udp$/);
        else assert.match(way, place?.includes('--one-port') || (server && topology === 'sfu') ? /over udp/ : /over tcp/);
      } finally {
        await lab.end();
      }
    });
  }
}

for (const topology of ['sfu', 'mesh']) {
  test(`all but TCP 443 blocked, and a proxy ends TLS, ${topology}: named`, async () => {
    const lab = new Lab('port', 'port');
    try {
      for (const side of ['A', 'B']) {
        lab.rules(`nat${side}`, 'table inet restricted {\nchain forward {\ntype filter hook forward priority 0\niifname "lan" drop\n}\n}\n');
        await lab.startInspection(side);
      }
      await lab.startServer('--tls-cert', lab.certificate(), '--tls-key', lab.certificate(), '--listen', '[::]:443');
      const url = `https://${SERVER}`;
      const room = newRoom();
      const pages = [];
      for (const side of ['A', 'B']) {
        const browser = await lab.startBrowser(side, '--ignore-certificate-errors');
        const page = await newPage(browser);
        await join(page, url, room, { name: side, topology });
        pages.push(page);
      }
      for (const page of pages) {
        await page.locator('[data-cause="tls-inspected"]:visible').first().waitFor();
        assert.equal(await page.evaluate(() => [...document.querySelectorAll('[data-peer] video')].some((video) => video.videoWidth > 0)), false);
      }
      const check = await pages[0].context().newPage();
      check.setDefaultTimeout(2 * PATIENCE_MS);
      await check.goto(`${url}/check`);
      await check.getByRole('button', { name: 'Check again' }).and(check.locator(':enabled')).waitFor();
      for (const probe of ['turnTls', 'iceTcp']) {
        assert.equal(await check.locator(`[data-probe="${probe}"]`).getAttribute('data-cause'), 'tls-inspected', probe);
      }
      table.push(['all but TCP 443 blocked, and a proxy ends TLS', topology, 'named tls-inspected', '']);
    } finally {
      await lab.end();
    }
  });
}
