// Two browsers, each behind a NAT, and the server on the internet between them: every pair of kinds gets its call, and
// where none can let the other in, by way of the relay. Then the same with a server of which one port is open.

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { join, mediaFlows, newPage, newRoom, until } from '../browser/harness.mjs';
import { Lab, SERVER } from './namespaces.mjs';

const DISCOVER = path.join(path.dirname(fileURLToPath(import.meta.url)), 'discover.mjs');
const URL = `http://${SERVER}:8080`;
const KINDS = ['full', 'address', 'port', 'symmetric'];
/** Pairs of which neither side can ever let the other in. */
const RELAYED = new Set(['port symmetric', 'symmetric port', 'symmetric symmetric']);

/** What each kind does, in the words of RFC 5780: how it maps, and whom it lets in. */
const BEHAVIOUR = {
  full: 'independent independent',
  address: 'independent address',
  port: 'independent address-and-port',
  symmetric: 'address-and-port address-and-port',
};

/** What the server's behaviour discovery says of the NAT of one side. */
const discovered = (lab, side) => lab.run(`client${side}`, process.execPath, DISCOVER, SERVER, '3478');

/** What a server lets in that serves everything on one port. */
const ONE_PORT = `table inet one {
chain input {
type filter hook input priority 0
iif "lo" accept
ct state established,related accept
tcp dport 8080 accept
udp dport 8080 accept
drop
}
}
`;

/** A call of the browsers of both sides. */
async function call(lab, topology) {
  const room = newRoom();
  const pages = [];
  for (const side of ['A', 'B']) {
    const browser = await lab.startBrowser(side, `--unsafely-treat-insecure-origin-as-secure=${URL}`);
    const page = await newPage(browser);
    await join(page, URL, room, { name: side, topology });
    pages.push(page);
  }
  for (const page of pages) await mediaFlows(page, 1);
  return pages;
}

/** Whether the path of a mesh leads over a relay. A relay may be ready first; what is direct takes over. */
async function untilRelayed(page, isRelayed) {
  const path = () => page.evaluate(async () => {
    const [[, connection]] = window.visavis.connections();
    const stats = await connection.getStats();
    const transport = [...stats.values()].find((report) => report.type === 'transport');
    const pair = stats.get(transport.selectedCandidatePairId);
    return [pair.localCandidateId, pair.remoteCandidateId].map((id) => stats.get(id).candidateType).join(' to ');
  });
  await until(`a path that is ${isRelayed ? 'relayed' : 'direct'}`, async () => (await path()).includes('relay') === isRelayed);
}

for (const [index, a] of KINDS.entries()) {
  for (const b of KINDS.slice(index)) {
    test(`${a} and ${b}`, async () => {
      const lab = new Lab(a, b);
      try {
        await lab.startServer('--tls', 'off', '--turn-discovery', `${SERVER},203.0.113.101`);
        assert.deepEqual({ a: discovered(lab, 'A'), b: discovered(lab, 'B') }, { a: BEHAVIOUR[a], b: BEHAVIOUR[b] });
        const [page] = await call(lab, 'mesh');
        await untilRelayed(page, RELAYED.has(`${a} ${b}`));
      } finally {
        await lab.end();
      }
    });
  }
}

for (const a of KINDS) {
  for (const b of KINDS) {
    for (const topology of ['mesh', 'sfu']) {
      test(`one port, ${a} and ${b}, ${topology}`, async () => {
        const lab = new Lab(a, b);
        try {
          lab.rules('server', ONE_PORT);
          await lab.startServer('--tls', 'off', '--listen', '[::]:8080', '--public-url', URL, '--one-port', '--turn-relay', 'inside');
          const [page] = await call(lab, topology);
          if (topology === 'mesh') await untilRelayed(page, RELAYED.has([a, b].sort().join(' ')));
        } finally {
          await lab.end();
        }
      });
    }
  }
}
