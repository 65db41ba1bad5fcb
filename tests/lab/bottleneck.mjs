// Chromium behind a bottleneck: what a viewer sees of a publisher's camera and hears of its microphone, through the media
// server and peer to peer. Prints a table; the programs in tests/long give the command.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { BINARY, CHROMIUM, join, launch, newPage, visit } from '../browser/harness.mjs';
import { addNamespace, build, isRtp, Wire } from './wire.mjs';

const SHOWN = readFileSync(new URL('./shown.js', import.meta.url), 'utf8');
const URL_ = 'http://10.99.1.1:8080';
/** Each way, in milliseconds, and the bottleneck's queue. */
const DELAY = 20;
const QUEUE = 300;

/**
 * The cells. `rates` are those of the link to the viewer, in kbit/s, each from a second on; its `delay` in milliseconds and its
 * `loss`, of a thousand packets, hold in both directions, and so do `senderDelay` and `senderLoss` at the publisher.
 */
const CELLS = {
  '300k': { rates: [[0, 300]], seconds: 40 },
  '1M': { rates: [[0, 1000]], seconds: 40 },
  '3M': { rates: [[0, 3000]], seconds: 30 },
  'loss5': { rates: [[0, 10_000]], delay: 50, loss: 50, seconds: 40 },
  'loss20': { rates: [[0, 10_000]], delay: 50, loss: 200, seconds: 40 },
  'loss20-sender': { rates: [[0, 10_000]], senderLoss: 200, senderDelay: 50, seconds: 40 },
  'steps': { rates: [[0, 1000], [40, 2500], [60, 600], [80, 1000]], seconds: 100 },
  'rise-and-fall': { rates: [[0, 300], [20, 3000], [40, 300]], seconds: 60 },
};

/** Jiffies of all processors: in total, and those that nobody took who has at least the priority that is usual. */
function processors() {
  const [, ...numbers] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].split(/\s+/);
  const times = numbers.slice(0, 8).map(Number);
  return { all: times.reduce((sum, time) => sum + time, 0), idle: times[1] + times[3] + times[4] };
}

/** The namespaces, wires, server and browsers of one cell. */
class Lab {
  folder = mkdtempSync(path.join(tmpdir(), 'visavis-bottleneck-'));
  #prefix = `bn${process.pid}`;
  #ends = [];
  /** @type {Wire} */ viewerWire;
  /** @type {Wire} */ senderWire;

  async start(program, seed) {
    const space = (name) => `${this.#prefix}-${name}`;
    for (const name of ['server', 'sender', 'viewer']) {
      addNamespace(space(name));
      this.#ends.push(() => execFileSync('ip', ['netns', 'delete', space(name)]));
    }
    const between = (name, network) => Wire.between(program, { log: path.join(this.folder, `${name}.log`), seed, network, near: space('server'), far: space(name), name: `to-${name}` });
    this.senderWire = await between('sender', '10.99.1');
    this.viewerWire = await between('viewer', '10.99.2');
    for (const [name, network] of [['sender', '10.99.1'], ['viewer', '10.99.2']]) execFileSync('ip', ['-n', space(name), 'route', 'add', 'default', 'via', `${network}.1`]);
    execFileSync('ip', ['netns', 'exec', space('server'), 'sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    await this.#startServer(space('server'));
  }

  async #startServer(space) {
    const data = path.join(this.folder, 'data');
    const args = ['--tls', 'off', '--data-dir', data, '--listen', '0.0.0.0:8080', ...(process.env.SERVER_ARGS?.split(' ') ?? [])];
    const server = spawn('ip', ['netns', 'exec', space, BINARY, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    const log = createWriteStream(path.join(this.folder, 'server.log'));
    server.stderr.pipe(log);
    this.#ends.unshift(async () => {
      const ended = once(server, 'exit');
      server.kill('SIGTERM');
      await ended;
    });
    for await (const line of createInterface({ input: server.stderr })) if (/serve: listening addr=/.test(line)) break;
    server.stderr.resume();
  }

  async browser(name, options) {
    const program = path.join(this.folder, `browser-${name}`);
    writeFileSync(program, `#!/bin/sh\nexec ip netns exec ${this.#prefix}-${name} ${CHROMIUM} "$@"\n`);
    chmodSync(program, 0o755);
    const flags = [`--unsafely-treat-insecure-origin-as-secure=${URL_}`, '--use-fake-device-for-media-stream=fps=30'];
    const browser = await launch({ executable: program, ...options, flags });
    this.#ends.unshift(() => browser.close());
    return browser;
  }

  async end() {
    for (const end of this.#ends) await end();
    if (process.env.KEEP) console.error(`kept: ${this.folder}`);
    else rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What the viewer's browser counts of sound and picture. */
const counts = (page) => page.evaluate(async () => {
  const sum = { samples: 0, concealed: 0, ssrcs: {}, decoded: 0, dropped: 0, lost: 0, received: 0, repaired: 0, plis: 0, nacks: 0, freezes: 0, asked: '' };
  for (const connection of window.visavis.connections().values()) {
    for (const report of (await connection.getStats()).values()) {
      if (report.type !== 'inbound-rtp') continue;
      sum.ssrcs[report.ssrc] = report.kind;
      if (report.rtxSsrc) sum.ssrcs[report.rtxSsrc] = 'rtx';
      sum.samples += report.totalSamplesReceived ?? 0;
      sum.concealed += (report.concealedSamples ?? 0) - (report.silentConcealedSamples ?? 0);
      if (report.kind !== 'video') continue;
      sum.decoded += report.framesDecoded;
      sum.dropped += report.framesDropped;
      sum.lost += report.packetsLost;
      sum.received += report.packetsReceived;
      sum.repaired += report.retransmittedPacketsReceived ?? 0;
      sum.plis += report.pliCount;
      sum.nacks += report.nackCount;
      sum.freezes += report.freezeCount;
    }
  }
  return sum;
});

async function run(program, name, way, seed) {
  const cell = CELLS[name];
  const lab = new Lab();
  try {
    await lab.start(program, seed);
    const room = 'bottleneck';
    const sending = await lab.browser('sender');
    const viewing = await lab.browser('viewer', { devices: 'none' });
    const sender = await newPage(sending, { viewport: { width: 400, height: 300 } });
    await join(sender, URL_, room, { name: 'Ada', topology: way === 'p2p' ? 'mesh' : 'sfu' });
    const viewer = await newPage(viewing, { viewport: { width: 1320, height: 900 } });
    await viewer.addInitScript(SHOWN);
    await visit(viewer, URL_, room, { name: 'Grace' });
    // The publisher's camera and its layers have started.
    await sleep(4000);
    const delay = cell.delay ?? DELAY;
    const loss = cell.loss ?? 0;
    const links = (rate) => ({ there: { rate, queue: QUEUE, delay, loss }, back: { delay, loss } });
    const other = { delay: cell.senderDelay ?? 0, loss: cell.senderLoss ?? 0 };
    lab.senderWire.set({ there: other, back: other });
    lab.viewerWire.set(links(cell.rates[0][1]));
    const before = processors();
    const began = Date.now();
    await viewer.getByRole('button', { name: 'Join', exact: true }).click();
    for (const [second, rate] of cell.rates.slice(1)) {
      await sleep(began + second * 1000 - Date.now());
      lab.viewerWire.set(links(rate));
    }
    await sleep(began + cell.seconds * 1000 - Date.now());
    const ended = Date.now();
    const after = processors();
    const shown = await viewer.evaluate(() => window.shown);
    lab.viewerWire.set({ there: {}, back: {} });
    const counted = await counts(viewer);
    const idle = (after.idle - before.idle) / (after.all - before.all);
    const packets = await lab.viewerWire.close();
    await lab.senderWire.close();
    return { name, way, cell, began, ended, shown, counted, idle, packets };
  } finally {
    await lab.end();
  }
}

const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;

/** Figures of a part of a run, from one second to another. */
function figures({ began, shown, packets, counted }, from, to) {
  const [first, last] = [began + from * 1000, began + to * 1000];
  const within = (at) => at >= first && at < last;
  const pictures = shown.filter(([at]) => within(at));
  // The count of a record contains those that no record was made of.
  const before = shown.findLast(([at]) => at < first)?.[2] ?? 0;
  const count = pictures.length > 0 ? Math.max(pictures.at(-1)[2] - before, 0) : 0;
  const edges = [first, ...pictures.map(([at]) => at), last];
  const gaps = edges.slice(1).map((at, index) => at - edges[index]);
  let still = 0;
  for (let second = first; second + 1000 <= last; second += 1000) if (!pictures.some(([at]) => at >= second && at < second + 1000)) still += 1;
  const there = packets.filter(({ at, way }) => way === 'there' && within(at));
  const media = there.filter((packet) => isRtp(packet));
  const waits = media.filter(({ fate }) => fate === 'passed').map(({ wait }) => wait).sort((a, b) => a - b);
  const bytes = there.filter(({ fate }) => fate === 'passed').reduce((sum, packet) => sum + packet.bytes, 0);
  const of = (kind) => media.filter(({ ssrc }) => counted.ssrcs[ssrc] === kind).length;
  return {
    fps: count / (to - from),
    gap: Math.max(...gaps) / 1000,
    still,
    queue: [0.5, 0.95, 1].map((share) => Math.round(quantile(waits, share))),
    kbps: Math.round(bytes * 8 / (to - from) / 1000),
    full: there.filter(({ fate }) => fate === 'full').length,
    lost: there.filter(({ fate }) => fate === 'lost').length,
    audio: of('audio'),
    video: of('video'),
    rtx: of('rtx'),
  };
}

/** The widths that were shown, in their order, each with its seconds. */
function widths({ began, ended, shown }) {
  const parts = [];
  for (const [index, [at, width]] of shown.entries()) {
    const until = shown[index + 1]?.[0] ?? ended;
    if (parts.at(-1)?.width === width) parts.at(-1).until = until;
    else parts.push({ width, from: at, until });
  }
  return parts.map(({ width, from, until }) => `${width} at ${((from - began) / 1000).toFixed(1)} s for ${((until - from) / 1000).toFixed(1)}`).join(', ');
}

/** The packets of video at the link while each width was shown. */
function packetsByWidth({ shown, packets, counted }) {
  const sums = {};
  let next = 0;
  for (const { at, way, ssrc } of packets) {
    if (way !== 'there' || counted.ssrcs[ssrc] !== 'video') continue;
    while (next < shown.length && shown[next][0] < at) next += 1;
    const width = shown[Math.min(next, shown.length - 1)]?.[1] ?? 'none';
    sums[width] = (sums[width] ?? 0) + 1;
  }
  return Object.entries(sums).map(([width, count]) => `${width}: ${count}`).join(', ');
}

function print(result) {
  const { name, way, cell, began, shown, counted, idle } = result;
  const first = shown.length > 0 ? (shown[0][0] - began) / 1000 : NaN;
  const line = (from, to) => {
    const it = figures(result, from, to);
    return `${it.fps.toFixed(1)} pictures/s, gap ${it.gap.toFixed(2)} s, still ${it.still} s, queue ${it.queue.join('/')} ms, ${it.kbps} kbit/s, dropped ${it.full}, lost ${it.lost}, packets audio ${it.audio} video ${it.video} rtx ${it.rtx}`;
  };
  console.log(`\n## ${name}, ${way}: idle ${(idle * 100).toFixed(0)}%${idle < 0.2 ? ' (too busy: run again)' : ''}`);
  console.log(`first picture ${first.toFixed(2)} s; sound concealed ${(100 * counted.concealed / Math.max(1, counted.samples)).toFixed(2)}%; decoded ${counted.decoded}, missing in the end ${counted.lost - counted.repaired} of ${counted.received + counted.lost}, pli ${counted.plis}, nack ${counted.nacks}`);
  const start = Math.min(3, Number.isNaN(first) ? 3 : first);
  console.log(`all: ${line(start, cell.seconds)}`);
  const ends = [...cell.rates.slice(1).map(([second]) => second), cell.seconds];
  if (ends.length > 1) for (const [index, [from, rate]] of cell.rates.entries()) console.log(`${rate} kbit/s: ${line(Math.max(from, start), ends[index])}`);
  console.log(`width ${widths(result)}`);
  console.log(`video packets by width ${packetsByWidth(result)}`);
  if (process.env.TRACE) {
    for (let second = 0; second < cell.seconds; second += 1) console.log(String(second).padStart(3), line(second, second + 1), [...new Set(shown.filter(([at]) => at >= began + second * 1000 && at < began + second * 1000 + 1000).map(([, width]) => width))].join());
  }
}

const words = process.argv.slice(2);
const ways = words.filter((word) => ['sfu', 'p2p'].includes(word));
const names = words.filter((word) => word in CELLS);
if (words.some((word) => !ways.includes(word) && !names.includes(word))) {
  console.error(`usage: bottleneck [sfu] [p2p] [${Object.keys(CELLS).join(' | ')}]…`);
  process.exit(2);
}
const folder = mkdtempSync(path.join(tmpdir(), 'visavis-wire-'));
try {
  const program = build(folder);
  for (const name of names.length > 0 ? names : Object.keys(CELLS)) for (const way of ways.length > 0 ? ways : ['sfu', 'p2p']) print(await run(program, name, way, Number(process.env.SEED ?? 1)));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
