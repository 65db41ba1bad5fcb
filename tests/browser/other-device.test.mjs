// A call between the server's own machine and another device, which opens the https address that the server prints.
// Both are network namespaces of this test's own making, joined by a cable.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { BINARY, CHROMIUM, join, launch, mediaFlows, newPage, newRoom } from './harness.mjs';

const HOME = `vv-home-${process.pid}`;
const DEVICE = `vv-dev-${process.pid}`;
const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });

/** Why namespaces cannot be made here, if so: they need root. */
function obstacle() {
  try {
    ip('netns', 'add', HOME);
    return false;
  } catch (error) {
    return `no network namespaces: ${String(error.stderr ?? error.message).trim()}`;
  }
}

const skip = obstacle();
const folder = mkdtempSync(path.join(tmpdir(), 'visavis-device-'));
let server;
let urls;
const browsers = [];

/** A program that runs Chromium inside a namespace. */
function browserIn(namespace) {
  const program = path.join(folder, namespace);
  writeFileSync(program, `#!/bin/sh\nexec ip netns exec ${namespace} ${CHROMIUM} "$@"\n`);
  chmodSync(program, 0o755);
  return program;
}

before(async () => {
  if (skip) return;
  ip('netns', 'add', DEVICE);
  ip('link', 'add', 'lan', 'netns', HOME, 'type', 'veth', 'peer', 'name', 'lan', 'netns', DEVICE);
  for (const [namespace, address] of [[HOME, '192.168.77.1/24'], [DEVICE, '192.168.77.2/24']]) {
    ip('-n', namespace, 'address', 'add', address, 'dev', 'lan');
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    // A link-local address that turns valid later is a change of networks, at which Chromium drops what it is loading.
    ip('-n', namespace, 'link', 'set', 'lan', 'addrgenmode', 'none');
    ip('-n', namespace, 'link', 'set', 'lan', 'up');
  }
  server = spawn('ip', ['netns', 'exec', HOME, BINARY, '--data-dir', path.join(folder, 'data')], { stdio: ['ignore', 'pipe', 'inherit'] });
  urls = [];
  for await (const line of createInterface({ input: server.stdout })) {
    const url = /^\s+(https?:\S+)$/.exec(line)?.[1];
    if (url) urls.push(url);
    // The addresses stand in one block.
    else if (urls.length > 0) break;
  }
  // What else it says must not hold it up.
  server.stdout.resume();
});

after(async () => {
  for (const browser of browsers) await browser.close();
  if (server && server.exitCode === null) {
    const ended = once(server, 'exit');
    server.kill('SIGTERM');
    await ended;
  }
  if (!skip) for (const namespace of [HOME, DEVICE]) ip('netns', 'del', namespace);
  rmSync(folder, { recursive: true, force: true });
});

test('another device joins by the https address that was printed', { skip }, async () => {
  const printed = urls.find((url) => url.startsWith('https://192.168.77.1:'));
  assert.ok(printed, `no address of the network among ${urls}`);
  assert.ok(urls.some((url) => url.startsWith('http://localhost:')), `${urls}`);
  const room = newRoom();
  const page = async (namespace, url) => {
    const browser = await launch({ executable: browserIn(namespace) });
    browsers.push(browser);
    // A person clicks the browser's warning away: the certificate is the server's own.
    const page = await newPage(browser, { ignoreHTTPSErrors: true });
    await join(page, url, room, { name: namespace });
    return page;
  };
  const home = await page(HOME, urls.find((url) => url.startsWith('http://localhost:')));
  const device = await page(DEVICE, printed);
  await mediaFlows(home, 1);
  await mediaFlows(device, 1);
  assert.deepEqual([...home.problems, ...device.problems], []);
});
