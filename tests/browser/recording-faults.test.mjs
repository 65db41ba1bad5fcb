// Recordings when things go wrong: the server is killed, the disk is full, the publisher reconnects, somebody asks for
// what is not theirs.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { BINARY, flows, launch, mediaFlows, newRoom, participant, Server, until } from './harness.mjs';
import { decode, lags, mediaFiles, probe } from './media-file.mjs';
import { noteOf, publisher, sent } from './publisher.mjs';

/** How often the server is killed; the long tests do it more often. */
const KILLS = Number(process.env.KILLS ?? 2);
const seed = Number(process.env.SEED ?? Date.now() % 100_000);
const folder = mkdtempSync(path.join(tmpdir(), 'visavis-recordings-'));
const isRoot = process.getuid?.() === 0;
let browser;
before(async () => {
  browser = await launch();
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A small generator of numbers from 0 to 1 (mulberry32). */
function random(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const hostToken = (page) => page.evaluate(() => window.visavis.hostToken);
const flowing = (page) => until('pictures are sent', async () => (await sent(page)).frames > 5);

/** Asks the API of recordings: `[status, body]`. */
async function ask(server, token, at = '', init = {}) {
  const headers = { ...(token && { Authorization: `Bearer ${token}` }), ...init.headers };
  const response = await fetch(`${server.url}/api/v1/recordings${at}`, { ...init, headers });
  const text = await response.text();
  return [response.status, text.startsWith('{') ? JSON.parse(text) : text, response.headers];
}

test(`what was recorded when the server is killed (${KILLS} times) plays, and is listed`, async (t) => {
  t.diagnostic(`SEED=${seed}`);
  const next = random(seed);
  const server = await Server.start('--record', 'all', '--recording-dir', folder, '--recording-finalize', 'off');
  for (let kill = 0; kill < KILLS; kill++) {
    const known = mediaFiles(folder).length;
    const room = newRoom();
    const page = await publisher(browser, server.url, room, ['H264', 'VP8', 'VP9'][kill % 3]);
    const token = await hostToken(page);
    const file = await until('a file is there', () => mediaFiles(folder)[known]);
    const wait = next() * 4_000;
    await page.waitForTimeout(wait);
    const at = Date.now();
    await server.kill();
    const { startedAt, state } = noteOf(file);
    assert.equal(state, 'recording');
    const { duration, complaints, video, audio } = await probe(file);
    const missing = (at - Date.parse(startedAt)) / 1000 - duration;
    t.diagnostic(`killed after ${wait.toFixed(0)} ms: ${duration.toFixed(2)} s play, ${missing.toFixed(2)} s are missing`);
    assert.equal(complaints, '');
    assert.ok(video && audio);
    assert.ok(missing <= 1.2, `${missing} s are missing`);
    assert.equal(await decode(file), '');
    await page.context().close();
    await server.start();
    const [status, { recordings }] = await ask(server, token, `?room=${room}`);
    assert.equal(status, 200);
    assert.equal(recordings[0].state, 'ready');
    assert.ok(Math.abs(recordings[0].durationMs / 1000 - duration) < 0.1, `${recordings[0].durationMs} ms, not ${duration} s`);
  }
  await server.close();
});

test('a publisher that reconnects goes on in the same recording, in time', async (t) => {
  const known = mediaFiles(folder).length;
  const server = await Server.start('--record', 'all', '--recording-dir', folder, '--recording-finalize', 'off');
  const page = await publisher(browser, server.url, newRoom(), 'H264');
  await flowing(page);
  await until('a file is there', () => mediaFiles(folder).length > known);
  const begun = performance.now();
  await page.waitForTimeout(3_000);
  // The connection is lost without a word, and made anew.
  await page.evaluate(() => {
    for (const connection of window.visavis.connections().values()) {
      Object.defineProperty(connection, 'connectionState', { get: () => 'failed' });
      connection.onconnectionstatechange?.(new Event('connectionstatechange'));
    }
  });
  await page.waitForTimeout(4_000);
  await flowing(page);
  const recorded = (performance.now() - begun) / 1000;
  await page.context().close();
  await server.close();
  const files = mediaFiles(folder).slice(known);
  assert.equal(files.length, 1);
  const { complaints, duration } = await probe(files[0]);
  assert.equal(complaints, '');
  const apart = await lags(files[0]);
  t.diagnostic(`${duration} s of ${recorded}, lags ${apart}`);
  assert.ok(duration > recorded, `${duration} s of ${recorded}`);
  assert.ok(apart.length >= 5 && apart.every((lag) => Math.abs(lag) <= 40), `sound behind the picture by ${apart} ms`);
});

test('a host records a call, and others cannot fetch the recording', async () => {
  const server = await Server.start('--recording-finalize', 'off');
  const room = newRoom();
  const page = await publisher(browser, server.url, room, '', { topology: 'auto' });
  const token = await hostToken(page);
  const events = page.evaluate(() => new Promise((resolve) => {
    const seen = [];
    window.visavis.on('event', ({ type, state, peer }) => {
      if (type === 'recording') seen.push(peer ? `${state} of somebody` : state);
      if (seen.at(-1) === 'stopped') resolve(seen);
    });
  }));
  await page.evaluate(() => window.visavis.session.send({ type: 'host', action: 'start-recording' }));
  const indicator = (page) => page.locator('.count', { hasText: 'being recorded' });
  await indicator(page).waitFor();
  const late = await publisher(browser, server.url, room, '', { name: 'Grace' });
  await indicator(late).waitFor();
  const recordings = path.join(server.data, 'recordings');
  await until('both are recorded', () => mediaFiles(recordings).length === 2);
  assert.equal((await sent(page)).codec, 'video/H264', 'a codec that fits into MP4 is preferred');
  await page.waitForTimeout(1_500);
  await page.evaluate(() => window.visavis.session.send({ type: 'host', action: 'stop-recording' }));
  const seen = await events;
  assert.deepEqual(seen.filter((state) => !state.includes('of')), ['starting', 'active', 'stopped']);

  const [status, listed] = await ask(server, token, `?room=${room}`);
  assert.equal(status, 200);
  const [recording] = listed.recordings;
  assert.deepEqual(new Set(listed.recordings.map(({ name }) => name)), new Set(['Ada', 'Grace']));
  assert.deepEqual([recording.room, recording.state, recording.container], [room, 'ready', 'mp4']);
  // In pieces, as a player asks for it.
  const part = await fetch(server.url + recording.url, { headers: { Range: 'bytes=4-7' } });
  assert.deepEqual([part.status, part.headers.get('content-range'), await part.text()], [206, `bytes 4-7/${recording.bytes}`, 'ftyp']);
  assert.equal((await fetch(server.url + recording.url, { headers: { Range: `bytes=${recording.bytes}-` } })).status, 416);
  const whole = await fetch(`${server.url}${recording.url}&download=1`);
  assert.match(whole.headers.get('content-disposition'), /^attachment; filename="\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[a-z2-7]{16}\.mp4"$/);
  assert.equal((await whole.arrayBuffer()).byteLength, recording.bytes);

  // A player in the hosts' page.
  const hosts = await page.context().newPage();
  await hosts.goto(`${server.url}/r/${room}/recordings#host=${token}`);
  const video = hosts.locator('video').first();
  await video.waitFor();
  await until('the picture plays', () => video.evaluate(async (element) => {
    await element.play();
    return element.currentTime > 0.3 && element.videoWidth > 0;
  }));

  const stranger = await publisher(browser, server.url, newRoom());
  const other = await hostToken(stranger);
  const id = recording.recording;
  const refusals = [
    [undefined, '', 401], ['nonsense', '', 401], [other, `?room=${room}`, 403], [other, `/${id}`, 404], [other, `/${id}/file`, 404],
    [undefined, `/${id}/file`, 401], [undefined, `/${id}/file?link=${'A'.repeat(80)}`, 401], [token, '/..%2f..%2fsession.key/file', 404],
    [token, '/-i', 404], [token, `/${id}%00/file`, 404], [token, '?room=a/b', 400],
  ];
  for (const [bearer, at, expected] of refusals) {
    const [status, body] = await ask(server, bearer, at);
    assert.equal(status, expected, at);
    assert.equal(typeof body.code, 'string', at);
  }
  assert.equal((await ask(server, other, `/${id}`, { method: 'DELETE' }))[0], 404);
  assert.deepEqual((await ask(server, other))[1], { recordings: [] });
  assert.equal((await ask(server, token, `/${id}`, { method: 'DELETE' }))[0], 204);
  assert.equal((await ask(server, token, `/${id}`))[0], 404);
  assert.equal(mediaFiles(recordings).length, 1);
  await Promise.all([page, stranger, late].map((page) => page.context().close()));
  await server.close();
});

test('who publishes already when a recording begins goes over to a codec that fits into MP4', async () => {
  const server = await Server.start('--recording-finalize', 'off');
  const recordings = path.join(server.data, 'recordings');
  const room = newRoom();
  const page = await publisher(browser, server.url, room);
  const watches = await publisher(browser, server.url, room, '', { name: 'Grace' });
  await until('both publish', async () => (await Promise.all([page, watches].map(sent))).every(({ frames }) => frames > 5));
  assert.equal((await sent(page)).codec, 'video/VP8');
  await page.evaluate(() => window.visavis.session.send({ type: 'host', action: 'start-recording' }));
  await until('both send H264', async () => (await Promise.all([page, watches].map(sent))).every(({ codec }) => codec === 'video/H264'));
  await mediaFlows(watches, 1);
  await until('both are recorded', () => mediaFiles(recordings).length === 2);
  await page.waitForTimeout(2_000);
  await page.evaluate(() => window.visavis.session.send({ type: 'host', action: 'stop-recording' }));
  const files = await until('both are closed', () => {
    const files = mediaFiles(recordings);
    return files.every((file) => noteOf(file).state === 'ready') && files;
  });
  assert.deepEqual(files.map((file) => path.extname(file)), ['.mp4', '.mp4']);
  for (const file of files) assert.equal(await decode(file), '');
  await Promise.all([page, watches].map((page) => page.context().close()));
  await server.close();
});

test('VP8 becomes MP4 when the recording is over, and everybody one picture', async () => {
  const server = await Server.start('--record', 'all');
  const recordings = path.join(server.data, 'recordings');
  const room = newRoom();
  const pages = [await publisher(browser, server.url, room, 'VP8'), await publisher(browser, server.url, room, 'VP8', { name: 'Grace' })];
  await until('both are recorded', () => mediaFiles(recordings).length === 2);
  await pages[0].waitForTimeout(2_000);
  await Promise.all(pages.map((page) => page.context().close()));
  const files = await until('both are MP4', () => {
    const files = mediaFiles(recordings);
    return files.every((file) => file.endsWith('.mp4') && noteOf(file).state === 'ready') && files;
  });
  for (const file of files) {
    const { video, audio, complaints } = await probe(file);
    assert.deepEqual([video.codec_name, audio.codec_name, complaints], ['h264', 'opus', '']);
  }
  const finalize = (...more) => spawnSync(BINARY, ['recordings', 'finalize', '--data-dir', server.data, ...more], { encoding: 'utf8' });
  assert.match(finalize().stderr, /another process/);
  await server.stop();
  const missing = finalize('--ffmpeg', '/nowhere/ffmpeg');
  assert.equal(missing.status, 1);
  assert.match(missing.stderr, /\/nowhere\/ffmpeg.*not found/);
  const made = finalize('--composite', '--room', room);
  assert.equal(made.status, 0, made.stderr);
  const { video, audio, duration } = await probe(made.stdout.trim());
  assert.deepEqual([video.codec_name, video.width, audio.codec_name], ['h264', 1280, 'aac']);
  assert.ok(duration > 2);
  await server.close();
});

test('when ffmpeg is killed or missing the recording stays as it was written, and the call goes on', async () => {
  const pid = path.join(folder, 'pid');
  const slow = path.join(folder, 'slow-ffmpeg');
  // Reads no faster than it plays, so that there is time to kill it.
  writeFileSync(slow, `#!/bin/sh\ncase "$*" in *-version*) exec ffmpeg -version ;; esac\necho $$ >${pid}.new && mv ${pid}.new ${pid}\nexec ffmpeg -re "$@"\n`, { mode: 0o755 });
  for (const [ffmpeg, reason] of [[slow, /signal: 9/], ['/nowhere/ffmpeg', /\/nowhere\/ffmpeg.*not found/]]) {
    const server = await Server.start('--record', 'all', '--ffmpeg', ffmpeg);
    const recordings = path.join(server.data, 'recordings');
    const room = newRoom();
    const page = await publisher(browser, server.url, room, 'VP8');
    const token = await hostToken(page);
    const stays = await publisher(browser, server.url, room, 'VP8', { name: 'Grace' });
    await until('both are recorded', () => mediaFiles(recordings).length === 2);
    await page.waitForTimeout(3_000);
    await page.getByRole('button', { name: 'Leave', exact: true }).click();
    await page.context().close();
    if (ffmpeg === slow) process.kill(Number(await until('ffmpeg works', () => existsSync(pid) && readFileSync(pid, 'utf8'))), 'SIGKILL');
    const done = await until('it is clear what became of it', async () => {
      const [, { recordings }] = await ask(server, token, `?room=${room}`);
      return recordings.find(({ error }) => error);
    });
    assert.deepEqual([done.state, done.container], ['ready', 'webm']);
    assert.match(done.error, reason);
    const { frames } = await sent(stays);
    await until('the call goes on', async () => (await sent(stays)).frames > frames + 20);
    assert.equal((await fetch(server.url + done.url, { headers: { Range: 'bytes=0-3' } })).status, 206);
    const file = mediaFiles(recordings).find((file) => file.includes(done.recording));
    assert.equal((await probe(file)).complaints, '');
    assert.equal(await decode(file), '');
    assert.deepEqual(readdirSync(recordings).filter((name) => name.endsWith('.part')), [], 'nothing half done is left');
    await stays.context().close();
    await server.close();
  }
});

/** What the room says of its recording from now on, each peer's files left out. */
const recordingStates = (page) => page.evaluate(() => {
  window.recordings = [];
  window.visavis.on('event', ({ type, state, peer }) => type === 'recording' && !peer && window.recordings.push(state));
});
const hears = (page, ...states) =>
  until(`the room to hear ${states}`, () => page.evaluate((states) => window.recordings.join() === states && window.recordings.splice(0).length > 0, states.join()));
const hosts = (page, action) => page.evaluate((action) => window.visavis.session.send({ type: 'host', action }), action);

test('a disk that fills while a room is recorded spoils the rest of that recording alone', async () => {
  for (const codec of ['H264', 'VP8']) {
    const server = await Server.start('--recording-finalize', 'off');
    const recordings = path.join(server.data, 'recordings');
    const room = newRoom();
    const host = await publisher(browser, server.url, room, codec);
    const guest = await publisher(browser, server.url, room, codec, { name: 'Grace' });
    const token = await hostToken(host);
    const listed = async () => (await ask(server, token, `?room=${room}`))[1].recordings;
    for (const page of [host, guest]) {
      await recordingStates(page);
      await flowing(page);
    }
    /** The call goes on, and so does the chat. */
    const goesOn = async (text) => {
      await mediaFlows(guest, 1);
      const said = guest.evaluate((text) => new Promise((resolve) => window.visavis.on('event', (event) => event.type === 'chat' && event.text === text && resolve())), text);
      await host.evaluate((text) => window.visavis.session.send({ type: 'chat', text }), text);
      await said;
    };

    await hosts(host, 'start-recording');
    const grown = await until('both files to grow', () => {
      const sizes = mediaFiles(recordings).map((file) => statSync(file).size);
      return sizes.length === 2 && Math.min(...sizes) > 50_000 && Math.max(...sizes);
    });
    // In the middle of a write.
    server.limitFiles(grown + 777);
    for (const page of [host, guest]) await hears(page, 'starting', 'active', 'failed');
    await host.locator('.count', { hasText: 'being recorded' }).waitFor({ state: 'hidden' });
    const kept = mediaFiles(recordings);
    assert.equal(kept.length, 2);
    for (const file of kept) {
      const { duration, complaints, video, audio } = await probe(file);
      assert.deepEqual([complaints, Boolean(video && audio)], ['', true], file);
      assert.ok(duration > 0.5, `${duration} s`);
      assert.equal(await decode(file), '');
    }
    const known = await listed();
    assert.deepEqual(known.map(({ state }) => state), ['ready', 'ready']);
    for (const { recording, bytes } of known) assert.equal(statSync(kept.find((file) => file.includes(recording))).size, bytes);
    await goesOn('it was full');

    // Nothing fits at all: another one fails as it begins, and leaves nothing.
    server.limitFiles(0);
    await hosts(host, 'start-recording');
    await hears(guest, 'starting', 'active', 'failed');
    assert.deepEqual(mediaFiles(recordings), kept);
    assert.equal((await listed()).length, 2);
    await goesOn('it is full');

    server.limitFiles();
    await host.evaluate(() => window.recordings.splice(0));
    await hosts(host, 'start-recording');
    await until('both to be recorded again', () => mediaFiles(recordings).length === 4);
    const again = mediaFiles(recordings).filter((file) => !kept.includes(file));
    await until('both files to grow', () => again.every((file) => statSync(file).size > 50_000));
    await hosts(host, 'stop-recording');
    await hears(host, 'starting', 'active', 'stopped');
    await until('all to be ready', async () => (await listed()).every(({ state }) => state === 'ready'));
    for (const file of again) assert.equal(await decode(file), '');
    assert.deepEqual(readdirSync(recordings).filter((name) => !/\.(mp4|webm|json)$/.test(name) && statSync(path.join(recordings, name)).isFile() && name !== '.lock'), []);
    await goesOn('there is room');

    // What a restart finds of them is the same.
    const before = await listed();
    await server.kill();
    await server.start();
    const after = await listed();
    const what = ({ recording, state, bytes, durationMs }) => ({ recording, state, bytes, durationMs });
    assert.deepEqual(after.map(what), before.map(what));
    await Promise.all([host, guest].map((page) => page.context().close()));
    await server.close();
  }
});

for (const codec of ['VP8', 'H264']) {
  test(`a full disk ends the recording of ${codec}, and the call goes on`, { skip: !isRoot && 'a small file system needs root' }, async () => {
    const small = path.join(folder, `small-${codec}`);
    mkdirSync(small);
    assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', small]).status, 0);
    try {
      const server = await Server.start('--record', 'all', '--recording-dir', small);
      const room = newRoom();
      const page = await publisher(browser, server.url, room, codec);
      const token = await hostToken(page);
      // A publisher that is neither recorded nor watched sends no picture.
      const viewer = await participant(browser, server.url, room, { name: 'Bob', role: 'viewer' });
      await page.evaluate(() => {
        window.recordings = [];
        window.visavis.on('event', ({ type, state, peer }) => type === 'recording' && !peer && window.recordings.push(state));
      });
      await until('a file is there', () => mediaFiles(small)[0]);
      // Somebody else fills the disk.
      spawnSync('dd', ['if=/dev/zero', `of=${path.join(small, 'other')}`, 'bs=64k']);
      await until('the recording has failed', () => page.evaluate(() => window.recordings.includes('failed')));
      await flows(viewer, 1);
      const [, { recordings }] = await until('it is over', async () => {
        const answer = await ask(server, token, `?room=${room}`);
        return answer[1].recordings[0]?.state === 'ready' && answer;
      });
      const { complaints, duration, video, audio } = await probe(mediaFiles(small)[0]);
      assert.equal(complaints, '');
      const [{ durationMs, codecs }] = recordings;
      assert.ok(Math.abs(durationMs / 1000 - duration) < 0.1, `${durationMs} ms, not ${duration} s`);
      assert.deepEqual(codecs.toSorted(), [video, audio].filter(Boolean).map(({ codec_name }) => codec_name).toSorted());
      await Promise.all([page, viewer].map((page) => page.context().close()));
      await server.close();
    } finally {
      spawnSync('umount', ['-l', small]);
    }
  });
}

test('a folder that cannot be written to is said, and the call goes on', { skip: !isRoot && 'a read-only file system needs root' }, async () => {
  const fixed = path.join(folder, 'fixed');
  mkdirSync(fixed);
  assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', fixed]).status, 0);
  try {
    const server = await Server.start('--recording-dir', fixed);
    const page = await publisher(browser, server.url, newRoom());
    await page.evaluate(() => {
      window.recordings = [];
      window.visavis.on('event', ({ type, state }) => type === 'recording' && window.recordings.push(state));
      window.visavis.session.send({ type: 'host', action: 'start-recording' });
    });
    await until('the recording has failed', () => page.evaluate(() => window.recordings.includes('failed')));
    await flowing(page);
    await page.context().close();
    await server.close();
  } finally {
    spawnSync('umount', ['-l', fixed]);
  }
});
