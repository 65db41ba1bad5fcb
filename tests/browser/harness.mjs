// What the browser tests share: a server of their own, a wire to cut, Chromium with made-up devices, and looks at what
// is decoded.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

/** Nothing here is waited for by time; this only ends a test that hangs, on however busy a machine. */
export const PATIENCE_MS = 60_000;

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const BINARY = process.env.VISAVIS_BIN ?? path.join(ROOT, 'target/debug/visavis');
export const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

/**
 * Browsers and servers that are open. What a failing test leaves open is closed after the file's tests: it would keep the test
 * runner waiting for ever.
 */
const open = new Set();
if (process.argv[1]?.endsWith('.test.mjs')) after(() => Promise.all([...open].map((opened) => opened.close())));

/** A `visavis` with a data folder of its own. */
export class Server {
  #data = mkdtempSync(path.join(tmpdir(), 'visavis-browser-'));
  #process;
  #arguments;
  #metrics = '';
  port = 0;

  constructor(...args) {
    this.#arguments = args;
  }

  static async start(...args) {
    const server = new Server(...args);
    await server.start();
    return server;
  }

  /** The folder of what outlives the process. */
  get data() {
    return this.#data;
  }

  get url() {
    return `http://localhost:${this.port}`;
  }

  /** Lets no file of its grow beyond so many bytes, which to it is as a disk that is full; or lets them again. */
  limitFiles(most = 'unlimited') {
    const { status, stderr } = spawnSync('prlimit', ['--pid', String(this.#process.pid), `--fsize=${most}:`], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`prlimit: ${stderr}`);
  }

  /** Its numbers by name; it tells them when it was started with `--metrics-listen`. */
  async metrics() {
    const page = await (await fetch(this.#metrics)).text();
    const lines = page.split('\n').filter((line) => line && !line.startsWith('#'));
    return Object.fromEntries(lines.map((line) => [line.split(' ')[0], Number(line.split(' ').at(-1))]));
  }

  /** A file of its data folder. */
  file(name) {
    return path.join(this.#data, name);
  }

  /** Starts, or starts again on the same port with the same data. */
  async start() {
    const args = ['--listen', `127.0.0.1:${this.port}`, '--turn-listen', '127.0.0.1:0', '--media-port', '0', '--data-dir', this.#data, ...(this.#arguments.some((word) => word.startsWith('--tls')) ? [] : ['--tls', 'off']), ...this.#arguments];
    this.#process = spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const lines = [];
    const ready = new Promise((resolve, reject) => {
      for (const stream of [this.#process.stdout, this.#process.stderr]) {
        createInterface({ input: stream }).on('line', (line) => {
          lines.push(line);
          const metrics = /metrics ready addr=(\S+)/.exec(line);
          if (metrics) this.#metrics = `http://${metrics[1]}/metrics`;
          const address = /serve: listening addr=\S*?:(\d+)/.exec(line);
          if (address) resolve(Number(address[1]));
        });
      }
      this.#process.once('error', reject);
      this.#process.once('exit', (code) => reject(new Error(`visavis ended with ${code}:\n${lines.join('\n')}`)));
    });
    this.port = await ready;
    open.add(this);
  }

  /** As if the machine had lost it: no goodbye to anybody. */
  async kill() {
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }

  /** Ends it as an operator does; its data stays. */
  async stop() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, 'exit');
      this.#process.kill('SIGTERM');
      await ended;
    }
  }

  async close() {
    open.delete(this);
    await this.stop();
    rmSync(this.#data, { recursive: true, force: true });
  }
}

/** A TCP relay between browser and server that can be cut. */
export class Wire {
  #sockets = new Set();
  #listener;
  #open = true;
  url = '';

  static async to(server) {
    const wire = new Wire();
    wire.#listener = net.createServer((near) => {
      if (!wire.#open) return near.destroy();
      const far = net.connect(server.port, '127.0.0.1');
      for (const socket of [near, far]) {
        wire.#sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => {
          wire.#sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far).pipe(near);
    });
    wire.#listener.listen(0, '127.0.0.1');
    await once(wire.#listener, 'listening');
    wire.url = `http://localhost:${wire.#listener.address().port}`;
    return wire;
  }

  /** Cuts every connection, and refuses new ones until `mend`. */
  cut() {
    this.#open = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.#open = true;
  }

  async close() {
    this.cut();
    this.#listener.close();
    await once(this.#listener, 'close');
  }
}

const FLAGS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
];
/** A camera and a microphone that are made up, and no question whether they may be used. */
const DEVICES = [
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--auto-select-desktop-capture-source=Entire screen',
];

/** Chromium. `devices`: `granted`, `denied` or `none`; `executable`: another program that runs it. */
export async function launch({ devices = 'granted', flags = [], executable = CHROMIUM } = {}) {
  if (!executable) throw new Error('Chromium is missing: apt-get install chromium');
  const media = { granted: DEVICES, denied: [DEVICES[0], '--deny-permission-prompts'], none: ['--use-fake-ui-for-media-stream'] };
  const browser = await chromium.launch({ executablePath: executable, chromiumSandbox: false, args: [...FLAGS, ...media[devices], ...flags] });
  open.add(browser);
  browser.on('disconnected', () => open.delete(browser));
  return browser;
}

/** A browser window of its own for one participant. Its errors end up in `page.problems`. */
export async function newPage(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 720 }, locale: 'en-GB', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.problems = [];
  // A call asks before its page goes away; a test that has its own answer gives that.
  page.on('dialog', (dialog) => {
    if (page.listenerCount('dialog') === 1) void dialog.accept().catch(() => {});
  });
  page.on('pageerror', (error) => page.problems.push(error.message));
  page.on('console', (message) => {
    // A page may try to reach a server that is gone; what must not be is a broken policy or script.
    if (message.type() === 'error' && !/net::ERR|WebSocket|Failed to load resource/.test(message.text())) {
      page.problems.push(message.text());
    }
  });
  return page;
}

/** Opens a room's page, with what the query says. */
export async function visit(page, url, room, query = {}) {
  await page.goto(`${url}/r/${room}?${new URLSearchParams(query)}`);
  await page.getByRole('button', { name: 'Join', exact: true }).waitFor();
}

/** Joins a room by the page's own buttons. */
export async function join(page, url, room, query = {}) {
  await visit(page, url, room, query);
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await page.getByRole('button', { name: 'Leave', exact: true }).waitFor();
}

/** Joins with a page that is made for it. */
export async function participant(browser, url, room, query) {
  const page = await newPage(browser);
  await join(page, url, room, query);
  return page;
}

/** Says yes to what a page asks before it does something. */
export const confirmed = (page, action) => page.getByRole('alertdialog').getByRole('button', { name: action, exact: true }).click();

export const selfId = (page) => page.evaluate(() => window.visavis.self.id);

/** What each connection of a page has received: `{peer: {ice, frames, samples, energy}}`. */
export function received(page) {
  return page.evaluate(async () => {
    const all = {};
    for (const [peer, connection] of window.visavis.connections()) {
      const totals = { ice: connection.iceConnectionState, frames: 0, samples: 0, energy: 0 };
      for (const report of (await connection.getStats()).values()) {
        if (report.type !== 'inbound-rtp') continue;
        totals.frames += report.framesDecoded ?? 0;
        totals.samples += report.totalSamplesReceived ?? 0;
        totals.energy += report.totalAudioEnergy ?? 0;
      }
      all[peer] = totals;
    }
    return all;
  });
}

/** Waits until `look` gives something true, and gives that. */
export async function until(what, look) {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (performance.now() > deadline) throw new Error(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Waits until a page of a mesh decodes more picture and more sound of that many others than it has by now; `flows` is for any call. */
export async function mediaFlows(page, others) {
  const before = await received(page);
  return until(`picture and sound of ${others}`, async () => {
    const now = await received(page);
    const flowing = Object.entries(now).filter(([peer, { frames, samples, energy }]) => {
      const then = before[peer] ?? { frames: 0, samples: 0, energy: 0 };
      return frames > then.frames + 5 && samples > then.samples + 8000 && energy > then.energy;
    });
    return flowing.length === others && now;
  });
}

/**
 * What a page decodes of each other by the streams it shows: `{peer: {frames, energy}}`. `null` when it cannot be said: Firefox
 * owes an answer for ever when a connection is closed while it counts.
 */
export function decoded(page) {
  return page.evaluate(async () => {
    const reports = [];
    for (const connection of window.visavis.connections().values()) {
      const late = new Promise((resolve) => setTimeout(() => resolve(null), 2000));
      const stats = await Promise.race([connection.getStats(), late]);
      if (!stats) return null;
      for (const report of stats.values()) if (report.type === 'inbound-rtp') reports.push(report);
    }
    const of = (stream) => {
      const tracks = stream?.getTracks().map(({ id }) => id) ?? [];
      const theirs = reports.filter(({ trackIdentifier }) => tracks.includes(trackIdentifier));
      const sum = (what) => theirs.reduce((total, report) => total + (report[what] ?? 0), 0);
      return { frames: sum('framesDecoded'), energy: sum('totalAudioEnergy') };
    };
    return Object.fromEntries(window.visavis.peers.map(({ id }) => {
      const streams = window.visavis.streams(id);
      return [id, { ...of(streams?.main), screen: of(streams?.screen).frames }];
    }));
  });
}

/** Waits until picture and sound of that many others go on. */
export async function flows(page, others) {
  const before = await until('what is decoded', () => decoded(page));
  return until(`picture and sound of ${others}`, async () => {
    const now = await decoded(page);
    if (!now) return false;
    const flowing = Object.entries(now).filter(([peer, { frames, energy }]) => {
      // A connection in the place of another counts from zero.
      if ((before[peer]?.frames ?? 0) > frames) before[peer] = { frames, energy };
      const then = before[peer] ?? { frames: 0, energy: 0 };
      return frames > then.frames + 5 && energy > then.energy;
    });
    return flowing.length === others && now;
  });
}

let portsTried = 0;
/**
 * A port of loopback for a program that has to be told one before it listens. It lies below those that the kernel gives to
 * clients: one of those may belong to somebody's connection a moment later.
 */
export async function freePort() {
  for (;;) {
    portsTried += 1;
    const port = 10_000 + ((process.pid * 61 + portsTried) % 20_000);
    const listener = net.createServer();
    const isFree = await new Promise((resolve) => listener.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)));
    if (!isFree) continue;
    listener.close();
    await once(listener, 'close');
    return port;
  }
}

/** A room's name that no other test uses. */
let rooms = 0;
export const newRoom = () => `test-${process.pid}-${++rooms}`;
