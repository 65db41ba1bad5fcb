// The examples of the README, each run as its first lines say. `console-data-channel` and `embed-signaling` have tests in
// `examples/tests`, `sfu-alone` has `sfu/tests/other_signaling.rs`.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BINARY, launch, newPage, newRoom, participant, Server, until } from './harness.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const EXAMPLES = path.join(ROOT, 'examples');
const PROGRAMS = path.join(process.env.CARGO_TARGET_DIR ?? path.join(ROOT, 'target'), 'debug');

const site = http.createServer((request, response) => {
  const file = path.join(EXAMPLES, 'web', path.basename(new URL(request.url, 'http://site').pathname));
  if (!existsSync(file)) return response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>Nothing</title>');
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(readFileSync(file));
});
let folder;
let browser;
let server;
let origin;
before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'visavis-examples-'));
  await once(site.listen(0, '127.0.0.1'), 'listening');
  origin = `http://127.0.0.1:${site.address().port}`;
  server = await Server.start('--allowed-origin', origin);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
  site.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a program until the test ends, or it does; `line(start)` waits for a line of its output. */
function running(t, program, args, env = {}) {
  const child = spawn(program, args, { cwd: folder, env: { ...process.env, ...env } });
  const ended = once(child, 'close');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const lines = [];
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', (line) => lines.push(line));
  const line = (start) => until(`${path.basename(program)} to say ${start}`, () => {
    const found = lines.find((one) => one.startsWith(start));
    if (!found && child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${lines.join('\n')}`);
    return found;
  });
  return { child, line, lines, end: async () => assert.deepEqual((await ended)[0], 0, lines.join('\n')) };
}
const example = (t, name, ...args) => running(t, path.join(PROGRAMS, name), args);
const python = (t, name, key, ...args) => running(t, 'python3', [path.join(EXAMPLES, 'python', name), ...args], { VISAVIS_KEY: key });
const apiKey = (...scopes) => execFileSync(BINARY, ['--data-dir', server.data, 'api-key', 'create', ...scopes.flatMap((scope) => ['--scope', scope])], { encoding: 'utf8' }).trim();
const address = (file, query) => `${origin}/${file}?${new URLSearchParams(query)}`;

/** Opens a page of the other site. */
async function opened(t, url) {
  const page = await newPage(browser);
  t.after(() => page.context().close());
  await page.goto(url);
  return page;
}

test('p2p-call: two pages see each other', async (t) => {
  const room = newRoom();
  const pages = [];
  for (const name of ['Ada', 'Bob']) pages.push(await opened(t, address('p2p-call.html', { server: `${server.url}/`, room, name })));
  for (const page of pages) {
    await page.locator('#state', { hasText: 'connected' }).waitFor();
    await until('a picture that moves', () => page.locator('video').first().evaluate((video) => video.getVideoPlaybackQuality().totalVideoFrames > 5));
    assert.deepEqual(page.problems, []);
  }
  await pages[1].close();
  await until('the picture to go', async () => await pages[0].locator('video').count() === 0);
});

test('whip-publish: a page publishes until it stops', async (t) => {
  const room = newRoom();
  const page = await opened(t, address('whip-publish.html', { endpoint: `${server.url}/whip/${room}` }));
  await page.locator('#state', { hasText: 'connected' }).waitFor();
  const viewer = await opened(t, `${server.url}/r/${room}?role=viewer&name=Bob`);
  await viewer.getByRole('button', { name: 'Join', exact: true }).click();
  await until('a picture', () => viewer.evaluate(() => [...document.querySelectorAll('[data-peer] video')].some((video) => video.getVideoPlaybackQuality().totalVideoFrames > 5)));
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.locator('#state', { hasText: 'stopped' }).waitFor();
  await until('the broadcaster to be gone', () => viewer.evaluate(() => window.visavis.peers.length === 0));
  assert.deepEqual(page.problems, []);
});

test('broadcast-file and watch-and-save: what one sends the other saves', async (t) => {
  const [room, film, saved] = [newRoom(), path.join(folder, 'film.ivf'), path.join(folder, 'saved.ivf')];
  execFileSync('ffmpeg', ['-loglevel', 'error', '-f', 'lavfi', '-i', 'testsrc=size=160x120:rate=30', '-t', '1', '-c:v', 'libvpx', '-g', '15', '-y', film]);
  const watching = example(t, 'watch-and-save', server.url, room, saved, '30');
  await watching.line('watching');
  const sending = example(t, 'broadcast-file', server.url, room, '1000', film);
  await sending.line('on air');
  await watching.line('30 pictures saved');
  await watching.end();
  const probed = execFileSync('ffprobe', ['-loglevel', 'error', '-count_frames', '-show_entries', 'stream=codec_name,width,height,nb_read_frames', '-of', 'csv=p=0', saved], { encoding: 'utf8' });
  const [codec, width, height, frames] = probed.trim().split(',');
  assert.deepEqual([codec, width, height], ['vp8', '160', '120']);
  assert.ok(Number(frames) >= 25, probed);
  sending.child.kill();
  // A whole broadcast ends by itself.
  const sound = path.join(folder, 'sound.ogg');
  execFileSync('ffmpeg', ['-loglevel', 'error', '-f', 'lavfi', '-i', 'sine', '-t', '0.98', '-c:a', 'libopus', '-frame_duration', '20', '-y', sound]);
  const once = example(t, 'broadcast-file', server.url, newRoom(), '1', film, sound);
  await once.line('80 frames sent');
  await once.end();
});

test('custom-transport: rooms over a Unix socket', async (t) => {
  const place = path.join(folder, 'rooms.sock');
  await example(t, 'custom-transport', place).line('listening');
  const client = (name) => {
    const socket = net.connect(place);
    t.after(() => socket.destroy());
    const heard = [];
    createInterface({ input: socket }).on('line', (line) => heard.push(JSON.parse(line)));
    const send = (message) => socket.write(`${JSON.stringify(message)}\n`);
    const hear = (type) => until(`${name} to hear ${type}`, () => heard.find((event) => event.type === type));
    send({ type: 'join', room: 'standup', name });
    return { send, hear, socket };
  };
  const ada = client('Ada');
  await ada.hear('welcome');
  const bob = client('Bob');
  assert.deepEqual((await bob.hear('welcome')).peers.map(({ name }) => name), ['Ada']);
  await ada.hear('peer-joined');
  bob.send({ type: 'chat', text: 'over a socket of our own', seq: 1 });
  assert.equal((await ada.hear('chat')).text, 'over a socket of our own');
  bob.socket.destroy();
  assert.equal((await ada.hear('peer-updated')).peer.away, true);
  const early = net.connect(place);
  t.after(() => early.destroy());
  early.write('{"type":"leave"}\n');
  const [line] = await once(createInterface({ input: early }), 'line');
  assert.equal(JSON.parse(line).code, 'bad-request');
});

/** Whether a browser gets a relayed candidate from these servers. */
const relays = (page, iceServers) => page.evaluate(async (iceServers) => {
  const connection = new RTCPeerConnection({ iceServers, iceTransportPolicy: 'relay' });
  connection.createDataChannel('any');
  const found = new Promise((resolve) => {
    connection.onicecandidate = ({ candidate }) => resolve(candidate?.type ?? null);
  });
  await connection.setLocalDescription();
  return found;
}, iceServers);

test('turn-only and outside-turn: browsers relay through it, with credentials of their own', async (t) => {
  const turn = await example(t, 'turn-only', '127.0.0.1:0', 'a secret of both').line('{');
  const iceServer = JSON.parse(turn);
  // A page without a policy of its own.
  const page = await opened(t, `${origin}/nothing`);
  assert.equal(await relays(page, [iceServer]), 'relay');
  assert.equal(await relays(page, [{ ...iceServer, credential: 'wrong' }]), null);

  const rooms = await example(t, 'outside-turn', iceServer.urls[0], 'a secret of both').line('ws://');
  // The service has no page, but its refusal has its origin, from which alone one may connect.
  const own = await opened(t, rooms.replace(/^ws(:\/\/[^/]+).*$/, 'http$1/api/v1/rooms'));
  const { iceServers, ttlSeconds } = await own.evaluate((url) => new Promise((resolve, reject) => {
    const socket = new WebSocket(url, 'visavis.v1');
    socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
    socket.onopen = () => socket.send(JSON.stringify({ type: 'join', room: 'standup', name: 'Ada' }));
    socket.onmessage = ({ data }) => resolve(JSON.parse(data));
  }), rooms);
  assert.deepEqual([iceServers.length, iceServers[0].urls, ttlSeconds], [1, [iceServer.urls[0]], 3600]);
  assert.equal(await relays(page, iceServers), 'relay');
});

test('record-a-room: what is said in a room is in a file', async (t) => {
  const room = newRoom();
  const speakers = [];
  for (const name of ['Ada', 'Bob']) speakers.push(await participant(browser, server.url, room, { name }));
  t.after(() => Promise.all(speakers.map((page) => page.context().close())));
  const key = apiKey('recordings');
  const recorder = python(t, 'record_a_room.py', key, server.url, room);
  await recorder.line('recording');
  const headers = { Authorization: `Bearer ${key}` };
  await until('something of both', async () => {
    const { recordings } = await (await fetch(`${server.url}/api/v1/recordings?room=${room}`, { headers })).json();
    return recordings.filter(({ bytes }) => bytes > 50_000).length === 2;
  });
  recorder.child.stdin.end('\n');
  await recorder.end();
  const saved = recorder.lines.filter((line) => line.startsWith('saved'));
  assert.deepEqual(saved.map((line) => line.split(' ')[2]).sort(), ['Ada', 'Bob']);
  for (const line of saved) {
    const file = path.join(folder, line.split(' ')[1]);
    const streams = execFileSync('ffprobe', ['-loglevel', 'error', '-show_entries', 'stream=codec_type', '-of', 'csv=p=0', file], { encoding: 'utf8' });
    assert.deepEqual(streams.trim().split('\n').sort(), ['audio', 'video']);
  }
});

test('schedule-a-meeting: booked, moved, called off', async (t) => {
  const program = python(t, 'schedule_a_meeting.py', apiKey('meetings:write'), server.url);
  await program.end();
  assert.match(program.lines[0], /^booked \w{3}-\w{3}-\w{3} http/);
  const [, before, afterwards] = /^moved (\S+) (\S+)$/.exec(program.lines[1]);
  assert.equal(Date.parse(afterwards) - Date.parse(before), 3_600_000);
  assert.match(program.lines[2], /^calendar UID:/);
  assert.equal(program.lines[3], 'called off cancelled');
});

test('the README lists every example, and each of them exists', () => {
  const readme = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
  const listed = [...readme.matchAll(/^\| \[`([\w-]+)`\]\(([\w./-]+)\)/gm)].map(([, name, file]) => ({ name, file }));
  for (const { file } of listed) assert.ok(existsSync(path.join(ROOT, file)), file);
  const names = listed.map(({ name }) => name);
  const required = ['console-data-channel', 'embed-signaling', 'p2p-call', 'broadcast-file', 'watch-and-save', 'whip-publish', 'custom-transport', 'turn-only', 'outside-turn', 'sfu-alone', 'record-a-room', 'schedule-a-meeting'];
  assert.deepEqual(required.filter((name) => !names.includes(name)), []);
  const programs = readdirSync(path.join(EXAMPLES, 'src/bin')).map((file) => file.replace('.rs', ''));
  assert.deepEqual(programs.filter((name) => !names.includes(name)), []);
});
