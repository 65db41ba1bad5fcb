// Recordings go to an S3-compatible store when they are over, whatever happens on the way.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import S3rver from 's3rver';
import { BINARY, launch, newRoom, Server, until } from './harness.mjs';
import { mediaFiles } from './media-file.mjs';
import { noteOf, publisher, sent } from './publisher.mjs';

const MIB = 1 << 20;
const PART = 8 * MIB;
const objects = mkdtempSync(path.join(tmpdir(), 'visavis-objects-'));
const folder = mkdtempSync(path.join(tmpdir(), 'visavis-recordings-'));
const s3 = new S3rver({ port: 0, address: '127.0.0.1', silent: true, directory: objects, configureBuckets: [{ name: 'calls' }] });
let store;
let wire;
let browser;
before(async () => {
  store = await s3.run();
  wire = await StallingWire.to(store.port);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  wire?.close();
  await s3.close();
  for (const made of [objects, folder]) rmSync(made, { recursive: true, force: true });
});

/** A TCP relay in front of the store that counts what goes there, and stalls after so many bytes. */
class StallingWire {
  passed = 0;
  #limit = Infinity;
  #stalled;
  #open = true;
  #sockets = new Set();
  #listener;

  static async to(port) {
    const wire = new StallingWire();
    wire.#listener = net.createServer((near) => {
      if (!wire.#open) return near.destroy();
      const far = net.connect(port, '127.0.0.1');
      for (const socket of [near, far]) {
        wire.#sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => {
          wire.#sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.on('data', (bytes) => {
        if (wire.passed + bytes.length > wire.#limit) {
          near.pause();
          wire.#stalled?.();
          return;
        }
        wire.passed += bytes.length;
        far.write(bytes);
      });
      far.pipe(near);
    });
    wire.#listener.listen(0, '127.0.0.1');
    await once(wire.#listener, 'listening');
    return wire;
  }

  get url() {
    return `http://127.0.0.1:${this.#listener.address().port}`;
  }

  /** Lets that many bytes pass from now on; resolves when they have. */
  stallAfter(bytes) {
    this.passed = 0;
    this.#limit = bytes;
    return new Promise((resolve) => (this.#stalled = resolve));
  }

  /** Cuts everything, and refuses what is new. */
  cut() {
    this.#open = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.passed = 0;
    this.#limit = Infinity;
    this.#open = true;
  }

  close() {
    this.cut();
    this.#listener.close();
  }
}

/** A server that uploads through the wire. */
const uploading = (...more) =>
  Server.start('--recording-dir', folder, '--recording-finalize', 'off', '--recording-store', 's3://calls/of/ours',
    ...[`endpoint=${wire.url}`, 'allow_http=true', 'access_key_id=S3RVER', 'secret_access_key=S3RVER', 'region=us-east-1'].flatMap((option) => ['--recording-store-option', option]), ...more);

function apiKey(server, ...scopes) {
  const made = spawnSync(BINARY, ['api-key', 'create', '--data-dir', server.data, ...scopes.flatMap((scope) => ['--scope', scope])], { encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr);
  return made.stdout.trim();
}

async function ask(server, key, at, init = {}) {
  return fetch(`${server.url}/api/v1/recordings${at}`, { ...init, headers: { Authorization: `Bearer ${key}`, ...init.headers } });
}

const idOf = (file) => noteOf(file).recording;
const shown = async (server, key, id) => (await ask(server, key, `/${id}`)).json();
const isStored = (server, key, id) => until('the store has it', async () => (await shown(server, key, id)).upload?.state === 'stored');

/** What the store has under a file's name, asked for past the wire and without this server. */
async function inStore(file) {
  const found = path.join(objects, 'calls', 'of', 'ours', `${path.basename(file)}._S3rver_object`);
  return existsSync(found) ? readFileSync(found) : undefined;
}

test('what was recorded of a call goes into the store, and stays here', async () => {
  const server = await uploading('--record', 'all');
  const key = apiKey(server, 'recordings');
  const page = await publisher(browser, server.url, newRoom(), 'H264');
  await until('pictures are sent', async () => (await sent(page)).frames > 40);
  await page.getByRole('button', { name: 'Leave', exact: true }).click();
  await page.context().close();
  const [file] = mediaFiles(folder);
  await isStored(server, key, idOf(file));
  const { upload, local, bytes } = await shown(server, key, idOf(file));
  assert.deepEqual([upload.object, upload.bytes, local], [`s3://calls/of/ours/${path.basename(file)}`, bytes, true]);
  assert.ok(bytes > 10_000);
  assert.ok((await inStore(file)).equals(readFileSync(file)));
  assert.equal(readFileSync(file).length, bytes);
  await server.close();
});

/** A recording of some parts, made after one that is there. */
function longRecording(size) {
  const [model] = mediaFiles(folder);
  const recording = Array.from(randomBytes(16), (byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte % 32]).join('');
  const file = path.join(folder, `2026-01-01_00-00-00_${recording}.mp4`);
  const bytes = randomBytes(size);
  writeFileSync(file, bytes);
  const { upload, ...note } = noteOf(model);
  writeFileSync(path.join(folder, `${recording}.json`), JSON.stringify({ ...note, recording, file: path.basename(file), bytes: size }));
  return { file, bytes, recording };
}

test('an upload that is cut off, and a server that is killed meanwhile, lose nothing', async (t) => {
  const { file, bytes, recording } = longRecording(20 * MIB);
  const stalled = wire.stallAfter(PART + PART / 2);
  const server = await uploading();
  const key = apiKey(server, 'recordings');
  await stalled;
  const halfway = await shown(server, key, recording);
  assert.deepEqual([halfway.upload.state, halfway.upload.bytes], ['uploading', PART]);
  assert.equal(await inStore(file), undefined);
  await server.kill();
  wire.cut();
  await server.start();
  await until('it is tried in vain', async () => (await shown(server, key, recording)).upload.error);
  assert.ok(readFileSync(file).equals(bytes), 'the local copy is there');
  wire.mend();
  await isStored(server, key, recording);
  t.diagnostic(`${wire.passed} bytes after the interruption`);
  assert.ok(wire.passed > 12 * MIB && wire.passed < 13 * MIB, 'what had arrived was not sent again');
  assert.ok((await inStore(file)).equals(bytes), 'the object is whole');
  assert.equal((await shown(server, key, recording)).upload.error, undefined);
  await server.close();
});

test('a recording that is in the store alone is downloaded from there, and deleted there', async () => {
  const { file, bytes, recording } = longRecording(9 * MIB);
  const server = await uploading('--recording-keep-local', 'off');
  const key = apiKey(server, 'recordings');
  await until('the file is gone', () => !existsSync(file));
  assert.ok((await inStore(file)).equals(bytes));
  const { url, local, upload } = await shown(server, key, recording);
  assert.deepEqual([local, upload.state], [false, 'stored']);
  const whole = await fetch(`${server.url}${url}&download=1`);
  assert.deepEqual([whole.status, whole.headers.get('content-type'), whole.headers.get('content-length')], [200, 'video/mp4', String(bytes.length)]);
  assert.match(whole.headers.get('content-disposition'), /^attachment/);
  assert.ok(Buffer.from(await whole.arrayBuffer()).equals(bytes));
  const part = await fetch(server.url + url, { headers: { Range: `bytes=${PART - 2}-${PART + 1}` } });
  assert.deepEqual([part.status, part.headers.get('content-range')], [206, `bytes ${PART - 2}-${PART + 1}/${bytes.length}`]);
  assert.ok(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(PART - 2, PART + 2)));
  assert.equal((await fetch(server.url + url, { headers: { Range: `bytes=${bytes.length}-` } })).status, 416);
  assert.equal((await ask(server, 'nonsense', `/${recording}/file`)).status, 401);

  wire.cut();
  assert.equal((await fetch(server.url + url)).status, 503, 'the store is down');
  assert.equal((await ask(server, key, `/${recording}`, { method: 'DELETE' })).status, 204);
  assert.equal((await ask(server, key, `/${recording}`)).status, 404);
  await server.kill();
  wire.mend();
  await server.start();
  await until('the object is gone', async () => !(await inStore(file)));
  await server.close();
});
