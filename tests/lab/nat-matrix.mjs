// Two browsers, each behind a NAT, and the server on the internet between them: every pair of kinds gets its call, and
// where none can let the other in, by way of the relay.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BINARY, CHROMIUM, join, launch, mediaFlows, newPage, newRoom, until } from '../browser/harness.mjs';

const LAB = path.join(path.dirname(fileURLToPath(import.meta.url)), 'nat.sh');
const DISCOVER = path.join(path.dirname(LAB), 'discover.mjs');
const PREFIX = `nat${process.pid}`;
const URL = 'http://203.0.113.100:8080';
const KINDS = ['full', 'address', 'port', 'symmetric'];
/** Pairs of which neither side can ever let the other in. */
const RELAYED = new Set(['port symmetric', 'symmetric port', 'symmetric symmetric']);

const lab = (...args) => execFileSync(LAB, args, { stdio: ['ignore', 'inherit', 'inherit'] });

async function startServer(folder) {
  const args = ['netns', 'exec', `${PREFIX}-server`, BINARY, '--tls', 'off', '--data-dir', path.join(folder, 'data'), '--turn-discovery', '203.0.113.100,203.0.113.101'];
  const server = spawn('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const lines = createInterface({ input: server.stderr });
  for await (const line of lines) if (/serve: listening addr=/.test(line)) break;
  server.stderr.resume();
  return server;
}

async function startBrowser(folder, side) {
  const program = path.join(folder, `browser${side}`);
  writeFileSync(program, `#!/bin/sh\nexec ip netns exec ${PREFIX}-client${side} ${CHROMIUM} "$@"\n`);
  chmodSync(program, 0o755);
  return launch({ executable: program, flags: [`--unsafely-treat-insecure-origin-as-secure=${URL}`] });
}

/** What each kind does, in the words of RFC 5780: how it maps, and whom it lets in. */
const BEHAVIOUR = {
  full: 'independent independent',
  address: 'independent address',
  port: 'independent address-and-port',
  symmetric: 'address-and-port address-and-port',
};

/** What the server's behaviour discovery says of the NAT of one side. */
function discovered(side) {
  const args = ['netns', 'exec', `${PREFIX}-client${side}`, process.execPath, DISCOVER, '203.0.113.100', '3478'];
  return execFileSync('ip', args, { encoding: 'utf8' }).trim();
}

for (const [index, a] of KINDS.entries()) {
  for (const b of KINDS.slice(index)) {
    test(`${a} and ${b}`, async () => {
      const folder = mkdtempSync(path.join(tmpdir(), 'visavis-nat-'));
      lab('up', PREFIX, a, b);
      const started = [];
      try {
        const server = await startServer(folder);
        started.push(async () => {
          const ended = once(server, 'exit');
          server.kill('SIGTERM');
          await ended;
        });
        assert.deepEqual({ a: discovered('A'), b: discovered('B') }, { a: BEHAVIOUR[a], b: BEHAVIOUR[b] });
        const room = newRoom();
        const pages = [];
        for (const side of ['A', 'B']) {
          const browser = await startBrowser(folder, side);
          started.unshift(() => browser.close());
          const page = await newPage(browser);
          await join(page, URL, room, { name: side, topology: 'mesh' });
          pages.push(page);
        }
        for (const page of pages) await mediaFlows(page, 1);
        const path = () => pages[0].evaluate(async () => {
          const [[, connection]] = window.visavis.connections();
          const stats = await connection.getStats();
          const transport = [...stats.values()].find((report) => report.type === 'transport');
          const pair = stats.get(transport.selectedCandidatePairId);
          return [pair.localCandidateId, pair.remoteCandidateId].map((id) => stats.get(id).candidateType).join(' to ');
        });
        // A relay may be ready first; what is direct takes over.
        const relayed = RELAYED.has(`${a} ${b}`);
        await until(`a path that is ${relayed ? 'relayed' : 'direct'}`, async () => (await path()).includes('relay') === relayed);
      } finally {
        for (const end of started) await end();
        lab('down', PREFIX);
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }
}
