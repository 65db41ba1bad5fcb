// How long it takes from a click to a picture: joining as a viewer, joining with a camera, turning the camera on, through the media server
// and peer to peer. Prints a table; `tests/long/first-picture` runs it against an optimised server, and its bounds are those of
// docs/benchmarks.md.
//
//     RUNS=20 ONLY=viewer TRACE=1 node first-picture.mjs

import { readFileSync } from 'node:fs';
import { launch, newPage, newRoom, Server, until, visit } from './harness.mjs';

const RUNS = Number(process.env.RUNS ?? 20);
const TRACE = process.env.TRACE === '1';

/** Milliseconds: of the median and of the slowest run. `null` for no bound. */
const SHAPES = [
  { name: 'viewer', what: 'a viewer joins: first picture', median: 170, slowest: 350, run: viewer },
  { name: 'newcomer', what: 'a newcomer with a camera joins: first picture', median: 170, slowest: 350, run: (times) => together(times, 'sfu', ['newcomer', 'seen']) },
  { name: 'seen', what: 'the same newcomer: seen by who is there', median: null, slowest: 350, run: null },
  { name: 'camera', what: 'a camera is turned on again: seen by the others', median: 180, slowest: 350, run: (times) => camera(times, 'camera', true) },
  { name: 'camera-first', what: 'a camera is turned on for the first time: seen by the others', median: 180, slowest: 350, run: (times) => camera(times, 'camera-first', false) },
  { name: 'mesh', what: 'peer to peer: first picture of a newcomer', median: 320, slowest: null, run: (times) => together(times, 'mesh', ['mesh', 'mesh-seen']) },
  { name: 'mesh-seen', what: 'peer to peer: the newcomer seen by the other', median: null, slowest: null, run: null },
];

/** Runs in every page before its own scripts: notes clicks, the steps of connections, and when each tile shows a picture. */
function observe() {
  const now = (at = performance.now()) => performance.timeOrigin + at;
  const marks = [];
  window.seen = { clicks: [], pictures: {}, marks };
  addEventListener('click', (event) => window.seen.clicks.push(now(event.timeStamp)), true);
  const watch = (video) => {
    if (video.dataset.observed) return;
    video.dataset.observed = 'yes';
    const shown = () => {
      const tile = video.closest('[data-peer]');
      // The avatar covers the picture of a camera that is said to be off.
      if (tile && !tile.classList.contains('no-picture') && video.videoWidth > 0) {
        (window.seen.pictures[tile.dataset.peer] ??= []).push(now());
      }
      video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback(shown);
  };
  new MutationObserver(() => document.querySelectorAll('[data-peer] video').forEach(watch))
    .observe(document, { childList: true, subtree: true });

  const Connection = window.RTCPeerConnection;
  let connections = 0;
  window.RTCPeerConnection = class extends Connection {
    constructor(...args) {
      super(...args);
      const number = ++connections;
      const mark = (what) => marks.push([now(), `pc${number} ${what}`]);
      mark('made');
      this.addEventListener('iceconnectionstatechange', () => mark(`ice ${this.iceConnectionState}`));
      this.addEventListener('connectionstatechange', () => mark(this.connectionState));
      for (const name of ['setRemoteDescription', 'setLocalDescription', 'createOffer']) {
        const original = Connection.prototype[name];
        this[name] = async (...parameters) => {
          mark(`${name}…`);
          const result = await original.apply(this, parameters);
          mark(name);
          return result;
        };
      }
    }
  };
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(...args) {
      super(...args);
      marks.push([now(), 'ws made']);
      this.addEventListener('open', () => marks.push([now(), 'ws open']));
      this.addEventListener('message', ({ data }) => {
        const { type, pc, state, peer, description } = JSON.parse(data);
        marks.push([now(), `← ${type} ${pc ?? state ?? ''} ${description?.type ?? ''}`, peer?.camera]);
      });
    }

    send(data) {
      const { type, pc, description } = JSON.parse(data);
      marks.push([now(), `→ ${type} ${pc ?? ''} ${description?.type ?? ''}`]);
      super.send(data);
    }
  };
}

let browser, server;

async function open(room, query) {
  const page = await newPage(browser);
  await page.addInitScript(observe);
  await visit(page, server.url, room, query);
  // The preview has its devices, so that opening them is no part of what is measured.
  if (query.role !== 'viewer') await page.waitForFunction(() => window.visavis.media.camera !== null);
  return page;
}

const press = (page, name) => page.getByRole('button', { name, exact: true }).click();

async function inCall(room, query) {
  const page = await open(room, query);
  await press(page, 'Join');
  await page.getByRole('button', { name: 'Leave', exact: true }).waitFor();
  return page;
}

const lastClick = (page) => page.evaluate(() => window.seen.clicks.at(-1));

/** When the first picture of anybody came after a time. */
function firstPicture(page, after) {
  return until('a picture', () => page.evaluate((at) => {
    const times = Object.values(window.seen.pictures).flat().filter((time) => time >= at);
    return times.length > 0 ? Math.min(...times) : null;
  }, after));
}

async function trace(pages, from) {
  if (!TRACE) return;
  for (const [name, page] of Object.entries(pages)) {
    const marks = await page.evaluate(() => window.seen.marks);
    for (const [at, what, more] of marks) if (at >= from - 5) console.log(`    ${name} ${(at - from).toFixed(0).padStart(5)} ${what} ${more ?? ''}`);
  }
}

const close = (...pages) => Promise.all(pages.map((page) => page.context().close()));
/** Key frames come for whoever is there, and every few seconds by themselves: the room is quiet before the click. */
const quiet = () => new Promise((resolve) => setTimeout(resolve, 1500));

async function viewer(times) {
  const room = newRoom();
  const ada = await inCall(room, { name: 'Ada', role: 'broadcaster' });
  const bob = await open(room, { name: 'Bob', role: 'viewer' });
  await quiet();
  await press(bob, 'Join');
  const at = await lastClick(bob);
  times.viewer.push(await firstPicture(bob, at) - at);
  await trace({ bob }, at);
  await close(ada, bob);
}

async function together(times, topology, [own, theirs]) {
  const room = newRoom();
  const ada = await inCall(room, { name: 'Ada', topology });
  const bob = await open(room, { name: 'Bob' });
  await quiet();
  await press(bob, 'Join');
  const at = await lastClick(bob);
  times[own].push(await firstPicture(bob, at) - at);
  times[theirs].push(await firstPicture(ada, at) - at);
  await trace({ bob, ada }, at);
  await close(ada, bob);
}


async function camera(times, name, before) {
  const room = newRoom();
  const ada = await inCall(room, { name: 'Ada', topology: 'sfu' });
  const bob = await open(room, { name: 'Bob' });
  if (!before) await press(bob, 'Turn camera off');
  await press(bob, 'Join');
  if (before) {
    await firstPicture(ada, 0);
    await press(bob, 'Turn camera off');
  }
  await ada.locator('[data-peer].no-picture').waitFor();
  await until('the connection', () => bob.evaluate(() => window.visavis.connections().get('publish')?.connectionState === 'connected'));
  await quiet();
  await press(bob, 'Turn camera on');
  const at = await lastClick(bob);
  times[name].push(await firstPicture(ada, at) - at);
  await trace({ bob, ada }, at);
  await close(ada, bob);
}

/** Ticks of the machine since it started: idle, and all. */
function ticks() {
  const numbers = readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/\s+/).slice(1).map(Number);
  return { idle: numbers[3] + numbers[4], all: numbers.reduce((sum, number) => sum + number, 0) };
}

const sorted = (numbers) => [...numbers].sort((a, b) => a - b);
const median = (numbers) => {
  const { length, [length >> 1]: upper, [(length - 1) >> 1]: lower } = sorted(numbers);
  return (lower + upper) / 2;
};

server = await Server.start();
browser = await launch();
const wanted = process.env.ONLY?.split(',');
const times = Object.fromEntries(SHAPES.map(({ name }) => [name, []]));
const before = ticks();
for (let run = 0; run < RUNS; run += 1) {
  for (const { name, run: measure } of SHAPES) if (measure && (!wanted || wanted.includes(name))) await measure(times);
}
const after = ticks();
await browser.close();
await server.close();

console.log('| milliseconds from the click | median | fastest | slowest | bound: median, slowest |');
console.log('| --- | --- | --- | --- | --- |');
let late = false;
for (const { name, what, median: bound, slowest } of SHAPES.filter(({ name }) => times[name].length > 0)) {
  const all = sorted(times[name]);
  const middle = median(all);
  late ||= (bound !== null && middle > bound) || (slowest !== null && all.at(-1) > slowest);
  console.log(`| ${what} | ${middle.toFixed(0)} | ${all[0].toFixed(0)} | ${all.at(-1).toFixed(0)} | ${bound ?? '–'}, ${slowest ?? '–'} |`);
}
const idle = (after.idle - before.idle) / (after.all - before.all);
console.log(`\n${RUNS} runs; the machine was idle for ${(idle * 100).toFixed(0)} % of the time.`);
if (late && process.env.BOUNDS !== 'off') process.exitCode = 1;
