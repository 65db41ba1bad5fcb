// The programs of docs/your-own-service.md, put together from its blocks and run as they stand there: against a server where tokens are needed,
// over a wire that breaks once in each download.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { BINARY, freePort, launch, newPage, Server, until, Wire } from './harness.mjs';
import { probe } from './media-file.mjs';

const GUIDE = readFileSync(new URL('../../docs/your-own-service.md', import.meta.url), 'utf8');
const BLOCKS = [...GUIDE.matchAll(/^```(\S+) (\S+)\n(.*?)^```$/gms)].map(([, , name, code]) => ({ name, code }));
const program = (name) => BLOCKS.filter((block) => block.name === name).map(({ code }) => code).join('\n');
const SECRET = 'thirty-two-bytes-and-some-more-of-it';

/** A page of another site, which the server knows. */
const site = http.createServer((_, response) => response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>Lessons</title>'));
let browser;
let server;
let key;
let origin;
before(async () => {
  await once(site.listen(0, '127.0.0.1'), 'listening');
  origin = `http://127.0.0.1:${site.address().port}`;
  const port = await freePort();
  server = new Server('--public-url', `http://localhost:${port}`, '--auth-key', SECRET, '--webhook-allow-private', '--allowed-origin', origin);
  server.port = port;
  await server.start();
  const [, words] = /^visavis (api-key create .*)$/m.exec(GUIDE);
  key = execFileSync(BINARY, ['--data-dir', server.data, ...words.split(' ')], { encoding: 'utf8' }).trim();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
  site.close();
});

const ask = async (method, path, body) => {
  const headers = { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' };
  const answer = await fetch(`${server.url}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, ...(text && JSON.parse(text)) };
};

/** Passes requests on to the server, and breaks off in the middle of each file the first time it is asked for. */
async function breakingProxy() {
  const files = [];
  const proxy = http.createServer(async (request, response) => {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const passed = http.request(server.url + request.url, { method: request.method, headers: request.headers }, async (answer) => {
      const got = [];
      for await (const piece of answer) got.push(piece);
      const body = Buffer.concat(got);
      response.writeHead(answer.statusCode, answer.headers);
      if (!request.url.endsWith('/file')) return response.end(body);
      const { range, 'if-range': tag } = request.headers;
      const first = !files.some(({ url }) => url === request.url);
      files.push({ url: request.url, status: answer.statusCode, range, tag, etag: answer.headers.etag, bytes: body.length });
      if (first) response.write(body.subarray(0, body.length >> 1), () => response.socket.end());
      else response.end(body);
    });
    passed.end(Buffer.concat(pieces));
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  return { files, url: `http://127.0.0.1:${proxy.address().port}`, close: () => proxy.close() };
}

/** Runs a program of the guide; what it prints, by the first word of a line. */
async function running(t, command, name, environment) {
  const folder = mkdtempSync(path.join(tmpdir(), 'visavis-own-service-'));
  writeFileSync(path.join(folder, name), program(name));
  const child = spawn(command, [name], { cwd: folder, env: { ...process.env, VISAVIS_KEY: key, ...environment } });
  const ended = once(child, 'close');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });
  const lines = [];
  let errors = '';
  child.stderr.on('data', (data) => { errors += data; });
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const said = (word) => lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  const first = (word) => until(word, () => {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}: ${errors}`);
    return said(word)[0];
  });
  return { folder, said, first, end: async () => [(await ended)[0], errors] };
}

/** What a link says: the room's name and the token, if there is one. */
function parts(link) {
  const url = new URL(link);
  return { room: decodeURIComponent(url.pathname.split('/').at(-1)), token: url.hash.replace('#token=', '') || undefined };
}

/** A page of the other site with the guide's functions, and what it has heard. */
async function foreignPage() {
  const page = await newPage(browser);
  await page.goto(origin);
  await page.addScriptTag({ content: `${program('page.js')}\nvar heard = []; const hear = (event) => heard.push(event);` });
  return page;
}
const heard = (page, text) => until(text, () => page.evaluate((text) => heard.some((event) => event.type === 'chat' && event.text === text), text));

for (const [command, name, behind] of [['python3', 'lesson.py', true], ['node', 'lesson.mjs', false]]) {
  test(`${name}: a lesson from the booking to its being erased`, async (t) => {
    const proxy = await breakingProxy();
    t.after(proxy.close);
    const port = behind && await freePort();
    const lesson = await running(t, command, name, { VISAVIS_URL: proxy.url, ...(behind && { PORT: port, LESSON_HOOK: `http://localhost:${port}/hook` }) });
    const [meeting, hook] = (await lesson.first('booked')).split(' ');
    const invited = parts(await lesson.first('invited'));
    const pupilLink = parts(lesson.said('pupil')[0]);
    assert.equal((await ask('GET', `/meetings/${meeting}`)).title, 'Algebra');
    // Whoever knows the hook's address says nothing with it.
    const now = Math.floor(Date.now() / 1000);
    const forged = { type: 'peer.joined', timestamp: new Date().toISOString(), data: { peer: 'nobody', name: 'Nobody', sub: 'teacher-1' } };
    const headers = { 'webhook-id': 'msg_forged', 'webhook-timestamp': String(now), 'webhook-signature': `v1,${'A'.repeat(43)}=` };
    assert.equal((await fetch(hook, { method: 'POST', headers, body: JSON.stringify(forged) })).status, 401);

    const teacher = await newPage(browser);
    await teacher.goto(lesson.said('teacher')[0]);
    await teacher.getByRole('textbox', { name: 'Your name' }).fill('x');
    await teacher.getByRole('button', { name: 'Join', exact: true }).click();
    await teacher.getByRole('button', { name: 'Leave', exact: true }).waitFor();
    const recorded = () => ask('GET', `/recordings?room=${invited.room}`);
    await until('a recording with something in it', async () => (await recorded()).recordings?.some(({ bytes }) => bytes > 100_000));

    // The pupil comes on the other site's page, through a wire that is cut; whoever is invited by mail with `fetch`.
    const wire = await Wire.to(server);
    t.after(() => wire.close());
    const pupil = await foreignPage();
    const self = await pupil.evaluate(async ({ url, join }) => {
      window.session = await connect(url, { type: 'join', name: 'x', ...join }, hear);
      return window.session.self;
    }, { url: wire.url, join: pupilLink });
    assert.equal(self.name, 'Emmy', 'as the link says');
    const guest = await foreignPage();
    await guest.evaluate(async ({ url, join }) => {
      window.session = await post(url, '', { type: 'join', name: 'Carol', ...join });
      window.ended = listen(url, window.session, hear);
    }, { url: server.url, join: invited });
    wire.cut();
    const say = (text) => guest.evaluate(({ url, text }) => post(url, `/${session.session}/messages`, { type: 'chat', text }, session.secret), { url: server.url, text });
    await say('while it is cut');
    wire.mend();
    await heard(pupil, 'while it is cut');
    await pupil.evaluate(() => session.send({ type: 'chat', text: 'back' }));
    await heard(guest, 'back');
    assert.equal(await pupil.evaluate(() => heard.filter(({ text }) => text === 'while it is cut').length), 1);
    await guest.evaluate((url) => post(url, `/${session.session}/messages`, { type: 'leave' }, session.secret), server.url);
    await guest.evaluate(() => window.ended);

    // A webhook that is told once more is known: her coming does not undo her leaving.
    const told = async () => (await ask('GET', `/meetings/${meeting}/deliveries`)).deliveries;
    const joined = await until('her coming and leaving are told', async () => {
      const all = (await told()).filter(({ deliveredAt }) => deliveredAt);
      return all.some(({ type }) => type === 'peer.left') && all.find(({ type }) => type === 'peer.joined');
    });
    assert.equal((await ask('POST', `/meetings/${meeting}/deliveries/${joined.delivery}/replay`)).status, 202);

    await teacher.getByRole('button', { name: 'Leave', exact: true }).click();
    const [code, errors] = await lesson.end();
    assert.equal(code, 0, errors);
    const attended = lesson.said('attended').map(JSON.parse);
    const who = attended.map(({ sub, name, reason }) => [sub, name, reason]);
    assert.deepEqual(who, [['teacher-1', 'Ms Noether', 'left'], ['pupil-7', 'Emmy', 'ended'], [null, 'Carol', 'left']]);
    for (const { joined, left } of attended) assert.ok(Date.parse(joined) < Date.parse(left), `${joined} ${left}`);

    await until('the end on the other site', () => pupil.evaluate(() => heard.some(({ type }) => type === 'room-ended')));
    assert.deepEqual([...pupil.problems, ...guest.problems], []);

    // The file is whole, though each was broken off once.
    const files = lesson.said('downloaded');
    assert.equal(files.length, 1);
    const found = await probe(path.join(lesson.folder, files[0]));
    assert.equal(found.complaints, '');
    assert.equal(found.audio.codec_name, 'opus');
    const [whole, rest] = proxy.files;
    assert.deepEqual([whole.status, rest.status, rest.tag], [200, 206, whole.etag]);
    assert.equal(Number(/^bytes=(\d+)-$/.exec(rest.range)[1]) + rest.bytes, whole.bytes);
    assert.equal(statSync(path.join(lesson.folder, files[0])).size, whole.bytes);
    assert.deepEqual((await ask('GET', '/recordings')).recordings, []);

    assert.deepEqual(lesson.said('erased'), ['404']);
    assert.equal((await ask('GET', `/meetings/${meeting}`)).status, 404);
    for (const page of [teacher, pupil, guest]) await page.context().close();
  });
}

test('every block of code in the guide belongs to a program that is run', () => {
  const fences = GUIDE.match(/^```\S.*$/gm).map((line) => line.slice(3));
  const known = ['text', 'python lesson.py', 'javascript lesson.mjs', 'javascript page.js'];
  assert.deepEqual([...new Set(fences)].sort(), known.sort());
  assert.equal(BLOCKS.length, fences.filter((fence) => fence !== 'text').length);
});
