// Pages and servers of different releases in one call: a page that was loaded before the server was replaced, and a
// page with a server that speaks the protocol as it was at that time.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { flows, join, launch, newPage, newRoom, Server, until } from './harness.mjs';

/** The call page and the SDK of 27 November 2026, as `web` had them. */
const ARCHIVE = fileURLToPath(new URL('earlier/2026-11-27.tar.gz', import.meta.url));

/** The events of that time, with their fields. */
const EVENTS = {
  welcome: ['self', 'session', 'secret', 'state', 'room', 'peers', 'hostToken', 'iceServers', 'ttlSeconds', 'heartbeatMs', 'resumeWindowMs', 'lastId', 'features', 'resumed', 'lastSeq'],
  snapshot: ['room', 'peers', 'gap', 'lastId'],
  'peer-joined': ['peer'],
  'peer-updated': ['peer'],
  'peer-left': ['peer', 'reason'],
  'broadcaster-connected': ['peer', 'tracks'],
  'broadcaster-disconnected': ['peer', 'tracks'],
  signal: ['from', 'description', 'candidate', 'restart', 'epoch', 'pc', 'negotiation', 'tracks'],
  tracks: ['peer', 'tracks'],
  topology: ['topology', 'epoch', 'state'],
  chat: ['from', 'text', 'to', 'at', 'name'],
  app: ['from', 'topic', 'data', 'to', 'at'],
  call: ['call', 'state', 'from', 'to', 'reason'],
  lobby: ['state', 'peer', 'name'],
  'room-updated': ['room'],
  recording: ['state', 'peer', 'recording'],
  muted: ['by'],
  'room-ended': ['reason'],
  speakers: ['speakers'],
  quality: ['peer', 'level', 'track', 'layer'],
  reaction: ['from', 'emoji'],
  'going-away': ['reconnectAfterMs'],
  ping: [],
  ack: ['seq'],
  pong: ['t', 'serverTime'],
  error: ['code', 'message', 'retryable', 'seq', 'retryAfterMs', 'startsAt'],
};
const PEER = ['id', 'name', 'role', 'host', 'joinedAt', 'microphone', 'camera', 'screen', 'hand', 'tracks', 'metadata', 'live'];
const ROOM = ['id', 'topology', 'epoch', 'locked', 'host', 'lobby', 'password', 'recording', 'viewers', 'createdAt', 'endsAt'];
const FEATURES = ['websocket', 'sse', 'socketio', 'sfu', 'recording', 'simulcast'];
/** The messages of clients at that time, with their fields. */
const MESSAGES = {
  join: ['room', 'name', 'role', 'token', 'password', 'create', 'topology', 'metadata', 'clientId', 'features'],
  resume: ['session', 'secret', 'lastId'],
  leave: [],
  signal: ['to', 'description', 'candidate', 'restart', 'epoch', 'pc', 'negotiation'],
  publish: ['tracks'],
  subscribe: ['track', 'enabled', 'maxWidth', 'maxHeight', 'maxFps', 'priority'],
  topology: ['epoch', 'ready', 'topology'],
  chat: ['text', 'to'],
  reaction: ['emoji'],
  app: ['topic', 'data', 'to'],
  update: ['name', 'microphone', 'camera', 'screen', 'hand', 'metadata'],
  call: ['action', 'to', 'call'],
  host: ['action', 'peer', 'value'],
  ping: ['t'],
};

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.svg': 'image/svg+xml' };

const only = (names, from) => Object.fromEntries(Object.entries(from).filter(([name]) => names.includes(name)));

/** An event as a server of that time would have sent it, or nothing if it knew no such event. */
function earlierEvent(event) {
  const fields = EVENTS[event.type];
  if (!fields) return null;
  const earlier = only(['type', 'id', ...fields], event);
  for (const name of ['self', 'peer']) if (typeof earlier[name] === 'object') earlier[name] = only(PEER, earlier[name]);
  if (Array.isArray(earlier.peers)) earlier.peers = earlier.peers.map((peer) => only(PEER, peer));
  if (earlier.room) earlier.room = only(ROOM, earlier.room);
  if (earlier.features) earlier.features = earlier.features.filter((name) => FEATURES.includes(name));
  return earlier;
}

let server;
let files;
let browser;
const folder = mkdtempSync(path.join(tmpdir(), 'visavis-earlier-'));
before(async () => {
  execFileSync('tar', ['xzf', ARCHIVE, '-C', folder]);
  server = await Server.start();
  files = new EarlierFiles();
  await files.open();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  files?.close();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** What a browser has that loaded the page at that time: a proxy with the earlier files in front of the server. */
class EarlierFiles {
  /** How many were served. */
  served = 0;
  #listener = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const file = pathname.startsWith('/r/') ? 'page/room.html' : /^\/(page|sdk)\//.test(pathname) ? pathname : null;
    if (!file) return this.#forward(request, response);
    this.served += 1;
    response.setHeader('content-type', TYPES[path.extname(file)]);
    response.end(readFileSync(path.join(folder, file)));
  });

  async open() {
    this.#listener.on('upgrade', (request, near) => {
      const far = net.connect(server.port, '127.0.0.1', () => {
        const { rawHeaders: raw } = request;
        const headers = raw.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${raw[index + 1]}\r\n`] : []));
        far.write(`GET ${request.url} HTTP/1.1\r\n${headers.join('')}\r\n`);
        near.pipe(far).pipe(near);
      });
      for (const [socket, other] of [[near, far], [far, near]]) socket.on('error', () => other.destroy()).on('close', () => other.destroy());
    });
    this.#listener.listen(0, '127.0.0.1');
    await once(this.#listener, 'listening');
    this.url = `http://localhost:${this.#listener.address().port}`;
  }

  close() {
    this.#listener.closeAllConnections();
    this.#listener.close();
  }

  #forward(request, response) {
    const { method, url, headers } = request;
    const onward = http.request({ port: server.port, host: '127.0.0.1', method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  }
}

/** A tab with today's page, whose server speaks the protocol of that time. What that did not know is in `page.unknown`. */
async function pageAtEarlierServer() {
  const page = await newPage(browser);
  page.unknown = new Set();
  await page.routeWebSocket(/\/api\/v1\/ws/, (near) => {
    const far = near.connectToServer();
    near.onMessage((text) => {
      const message = JSON.parse(text);
      const fields = MESSAGES[message.type];
      for (const name of Object.keys(message)) if (!['type', 'seq', ...(fields ?? [])].includes(name)) page.unknown.add(`${message.type}.${name}`);
      if (fields) return far.send(JSON.stringify(only(['type', 'seq', ...fields], message)));
      page.unknown.add(message.type);
      near.send(JSON.stringify({ type: 'error', code: 'unknown-message', message: message.type, retryable: false, seq: message.seq }));
    });
    far.onMessage((text) => {
      const event = earlierEvent(JSON.parse(text));
      if (event) near.send(JSON.stringify(event));
    });
  });
  return page;
}

const listen = (page) => page.evaluate(() => {
  window.heard = [];
  window.visavis.on('chat', ({ text }) => window.heard.push(text));
});
/** Everybody says something, which everybody hears once, and the same in one order. */
async function chats(pages, round) {
  const said = pages.map((_, index) => `${round}: ${index}`);
  await Promise.all(pages.map((page, index) => page.evaluate((text) => window.visavis.chat(text), said[index])));
  const heard = await Promise.all(pages.map((page) => until(`the chat of ${round}`, async () => {
    const texts = await page.evaluate((start) => window.heard.filter((text) => text.startsWith(start)), `${round}: `);
    return texts.length >= said.length && texts;
  })));
  for (const texts of heard) assert.deepEqual(texts, heard[0]);
  assert.deepEqual([...heard[0]].sort(), said);
}

/** A call that goes from a mesh to the media server, and outlives the server. The pages are at these URLs. */
async function call(pages, urls) {
  const room = newRoom();
  const [first, second, third] = pages;
  for (const [index, page] of [first, second].entries()) {
    await join(page, urls[index], room, { name: 'Ada', transport: 'websocket' });
    await listen(page);
  }
  await Promise.all([first, second].map((page) => flows(page, 1)));
  await chats([first, second], 'two');
  await join(third, urls[2], room, { name: 'Grace', transport: 'websocket' });
  await listen(third);
  await Promise.all(pages.map((page) => flows(page, 2)));
  await until('the media server', () => first.evaluate(() => window.visavis.room.topology === 'sfu'));
  await chats(pages, 'three');
  await second.getByRole('button', { name: 'Raise hand' }).click();
  await until('the hand', () => first.evaluate(() => window.visavis.peers.some(({ hand }) => hand)));

  await server.kill();
  await server.start();
  await Promise.all(pages.map((page) => flows(page, 2)));
  await chats(pages, 'after the restart');
  await third.getByRole('button', { name: 'Leave', exact: true }).click();
  await until('the others to be two', () => first.evaluate(() => window.visavis.peers.length === 1));
  for (const page of pages) assert.deepEqual(page.problems, []);
}

test('pages of an earlier release call each other and those of today over the server of today', async () => {
  const pages = [await newPage(browser), await newPage(browser), await newPage(browser)];
  await call(pages, [files.url, server.url, files.url]);
  assert.ok(files.served > 60, `the earlier page was loaded twice: ${files.served} files`);
  for (const page of pages) await page.context().close();
});

test('the page of today works with a server of the earlier protocol, and asks it for nothing that it does not know', async () => {
  const pages = [await pageAtEarlierServer(), await pageAtEarlierServer(), await pageAtEarlierServer()];
  await call(pages, pages.map(() => server.url));
  for (const page of pages) assert.deepEqual([...page.unknown], []);
  for (const page of pages) await page.context().close();
});
