// Calls out of networks that let little through: each cell is a call between two browsers, in the media server and in a
// mesh. Prints the time from the click on Join to the first picture.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { join, mediaFlows, newPage, newRoom, until, visit } from '../browser/harness.mjs';
import { Lab, SERVER } from './namespaces.mjs';

/** What the networks of both clients forward. */
const NETWORKS = {
  'UDP blocked': 'meta l4proto udp drop',
  'all but TCP 443 blocked': 'meta l4proto udp drop\niifname "lan" tcp dport != 443 drop',
};

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

for (const [network, rule] of Object.entries(NETWORKS)) {
  for (const topology of ['sfu', 'mesh']) {
    test(`${network}, ${topology}`, async () => {
      const lab = new Lab('port', 'port');
      try {
        for (const side of ['A', 'B']) {
          lab.rules(`nat${side}`, `table inet restricted {\nchain forward {\ntype filter hook forward priority 0\n${rule}\n}\n}\n`);
        }
        const url = `http://${SERVER}:443`;
        await lab.startServer('--tls', 'off', '--listen', '[::]:443');
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
        assert.match(way, /over tcp/);
      } finally {
        await lab.end();
      }
    });
  }
}
