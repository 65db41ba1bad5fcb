// GStreamer publishes by WHIP and plays by WHEP in one room with Chromium.
//
// It sends from the addresses of real interfaces alone, never over loopback: server and Chromium are in one network
// namespace, GStreamer is in another.

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BINARY, CHROMIUM, launch, newPage, newRoom, selfId, until } from './harness.mjs';

const CLIENT = fileURLToPath(new URL('../gstreamer/client.py', import.meta.url));
const HOME = `vv-gsh-${process.pid}`;
const DEVICE = `vv-gsd-${process.pid}`;
const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });

/** Why this cannot be tested here, if so. */
function obstacle() {
  if (spawnSync('/usr/bin/python3', ['-c', 'import gi; gi.require_version("GstWebRTC", "1.0")']).status !== 0) {
    return 'GStreamer is missing: see tests/run';
  }
  try {
    ip('netns', 'add', HOME);
    return false;
  } catch (error) {
    return `no network namespaces: ${String(error.stderr ?? error.message).trim()}`;
  }
}

const skip = obstacle();
const folder = mkdtempSync(path.join(tmpdir(), 'visavis-gstreamer-'));
let server, browser;

before(async () => {
  if (skip) return;
  ip('netns', 'add', DEVICE);
  ip('link', 'add', 'lan', 'netns', HOME, 'type', 'veth', 'peer', 'name', 'lan', 'netns', DEVICE);
  for (const [namespace, address] of [[HOME, '192.168.78.1/24'], [DEVICE, '192.168.78.2/24']]) {
    ip('-n', namespace, 'address', 'add', address, 'dev', 'lan');
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    ip('-n', namespace, 'link', 'set', 'lan', 'addrgenmode', 'none');
    ip('-n', namespace, 'link', 'set', 'lan', 'up');
  }
  const args = ['netns', 'exec', HOME, BINARY, '--data-dir', path.join(folder, 'data'), '--tls', 'off'];
  server = spawn('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const lines = createInterface({ input: server.stderr });
  await new Promise((resolve, reject) => {
    lines.on('line', (line) => line.includes('serve: listening addr=') && resolve());
    server.once('exit', (code) => reject(new Error(`visavis ended with ${code}`)));
  });
  const program = path.join(folder, 'chromium');
  writeFileSync(program, `#!/bin/sh\nexec ip netns exec ${HOME} ${CHROMIUM} "$@"\n`);
  chmodSync(program, 0o755);
  browser = await launch({ executable: program });
});

after(async () => {
  await browser?.close();
  if (server && server.exitCode === null) {
    const ended = once(server, 'exit');
    server.kill('SIGTERM');
    await ended;
  }
  if (!skip) for (const namespace of [HOME, DEVICE]) ip('netns', 'del', namespace);
  rmSync(folder, { recursive: true, force: true });
});

/** The client at work: what it has said, and its end. */
function gstreamer(role, place) {
  const url = `http://192.168.78.1:8080${place}`;
  const client = spawn('ip', ['netns', 'exec', DEVICE, '/usr/bin/python3', CLIENT, role, url], { stdio: ['pipe', 'pipe', 'inherit'] });
  const said = [];
  createInterface({ input: client.stdout }).on('line', (line) => said.push(JSON.parse(line)));
  const buffers = (kind) => said.reduce((most, now) => (now.kind === kind ? now.buffers : most), 0);
  return {
    buffers,
    until: (what, look) => until(`${what} after ${JSON.stringify(said.slice(-3))}`, () => {
      assert.equal(client.exitCode, null, `GStreamer has ended: ${JSON.stringify(said)}`);
      return look(said);
    }),
    end: async () => {
      const ended = once(client, 'exit');
      client.stdin.end();
      assert.equal((await ended)[0], 0);
      assert.deepEqual(said.at(-1), { ended: 200 });
    },
  };
}

async function enter(room, role) {
  const page = await newPage(browser);
  await page.goto(`http://localhost:8080/r/${room}?${new URLSearchParams({ role, name: role })}`);
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await page.getByRole('button', { name: 'Leave', exact: true }).waitFor();
  return page;
}

test('GStreamer and Chromium watch each other', { skip }, async () => {
  const room = newRoom();
  const viewer = await enter(room, 'viewer');
  const camera = gstreamer('publish', `/whip/${room}?name=GStreamer`);
  await camera.until('its connection', (said) => said.some(({ connected }) => connected));
  const tile = viewer.locator('[data-peer]', { hasText: 'GStreamer' });
  await until('its picture', () => tile.locator('video').evaluate((video) => video.videoWidth === 640 && video.currentTime > 1));
  const sound = () => viewer.evaluate(async () => {
    const reports = [...(await window.visavis.connections().get('subscribe').getStats()).values()];
    return reports.reduce((energy, report) => energy + (report.totalAudioEnergy ?? 0), 0);
  });
  await until('its tone', async () => (await sound()) > 0);

  const studio = await enter(room, 'broadcaster');
  const player = gstreamer('play', `/whep/${room}?publisher=${await selfId(studio)}`);
  await player.until('Chromium decoded', () => player.buffers('video') >= 60 && player.buffers('audio') >= 100);
  // The first publisher, without a word about whom.
  const other = gstreamer('play', `/whep/${room}`);
  await other.until('GStreamer decoded by GStreamer', () => other.buffers('video') >= 30 && other.buffers('audio') >= 50);

  await Promise.all([player.end(), other.end(), camera.end()]);
  await tile.waitFor({ state: 'detached' });
  assert.deepEqual([...viewer.problems, ...studio.problems], []);
});
