// The SDK as others use it: on pages of another origin, as a package in TypeScript and React, from the release before; and a client in
// Python.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { Call, LocalMedia } from '../../web/sdk/index.js';
import { flows, launch, newPage, newRoom, participant, Server, until, Wire } from './harness.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MODULES = fileURLToPath(new URL('node_modules', import.meta.url));
const GUIDE = readFileSync(path.join(ROOT, 'docs/sdk.md'), 'utf8');
/** A block of the guide by its name. */
const recipe = (name) => new RegExp(`^\`\`\`\\S+ ${name.replace('.', '\\.')}\\n(.*?)^\`\`\`$`, 'ms').exec(GUIDE)[1];

/** What a site of another origin serves, by path. */
const files = new Map();
const TYPES = { html: 'text/html; charset=utf-8', js: 'text/javascript' };
const site = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://site');
  const content = files.get(pathname);
  response.writeHead(content === undefined ? 404 : 200, { 'Content-Type': TYPES[pathname.split('.').at(-1)] ?? 'text/plain' }).end(content);
});
let folder;
let browser;
let server;
let origin;
before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'visavis-sdk-'));
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

/** Opens a page of the other site. */
async function foreign(file, content) {
  files.set(`/${file}`, content);
  const page = await newPage(browser);
  await page.goto(`${origin}/${file}`);
  return page;
}

/** Waits until a picture that a page shows goes on. */
async function moves(page, selector = 'video') {
  const frames = () => page.locator(selector).first().evaluate((video) => video.getVideoPlaybackQuality().totalVideoFrames);
  const seen = await frames();
  await until('a picture that moves', async () => await frames() > seen + 5);
}

/** Unpacks a package where the modules of an application are. */
function installed(tarball, application) {
  const modules = path.join(application, 'node_modules');
  mkdirSync(path.join(modules, '@visavis/sdk'), { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', path.join(modules, '@visavis/sdk'), '--strip-components=1']);
  for (const name of ['react', 'react-dom', 'scheduler', '@types', 'csstype']) symlinkSync(path.join(MODULES, name), path.join(modules, name));
}

let packed;
/** The package, made of what is here. */
function tarball() {
  if (!packed) {
    execFileSync(path.join(ROOT, 'web/pack'), [folder]);
    packed = path.join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')));
  }
  return packed;
}

test('a page of another origin joins with picture and sound in fifteen lines', async (t) => {
  const lines = recipe('join.html').replaceAll('https://calls.example', server.url).replace("'lesson'", `'${newRoom()}'`);
  assert.ok(lines.trim().split('\n').length <= 15);
  const room = /room: '([^']+)'/.exec(lines)[1];
  const page = await foreign('join.html', lines);
  t.after(() => page.context().close());
  const other = await participant(browser, server.url, room, { name: 'Bob' });
  t.after(() => other.context().close());
  await moves(page);
  await flows(other, 1);
  assert.deepEqual(page.problems, []);
});

test('the other recipes: screen, devices, chat and data, reconnection', async (t) => {
  const wire = await Wire.to(server);
  t.after(() => wire.close());
  const room = newRoom();
  const elements = ['share', 'mute'].map((id) => `<button id="${id}">${id}</button>`).join('') + '<video id="picture" autoplay muted></video><select id="cameras"></select>'
    + ['notice', 'list', 'slide'].map((id) => `<div id="${id}"></div>`).join('');
  const page = await foreign('recipes.html', `<!doctype html><title>Recipes</title>${elements}
    <script type="module">
      import { Call } from '${server.url}/sdk/v1/index.js';
      const call = window.visavis = new Call({ base: '${wire.url}' });
      await call.media.open({ microphone: true, camera: true });
      await call.join({ room: '${room}', name: 'Ada' });
      ${recipe('screen')}
      ${recipe('devices')}
      ${recipe('reconnect')}
      ${recipe('chat')}
      window.ready = true;
    </script>`);
  t.after(() => page.context().close());
  const other = await participant(browser, server.url, room, { name: 'Bob' });
  t.after(() => other.context().close());
  await page.waitForFunction(() => window.ready);
  await page.locator('#list', { hasText: 'Ada: Good morning' }).waitFor();
  assert.ok(await page.locator('#cameras option').count() > 0);
  await page.getByText('mute').click();
  await until('the microphone to be off', () => other.evaluate(() => window.visavis.peers[0].microphone === false));
  await page.getByText('share').click();
  await until('a screen', () => other.evaluate(() => window.visavis.streams(window.visavis.peers[0].id)?.screen));
  await page.getByText('share').click();
  await until('no screen', () => other.evaluate(() => !window.visavis.streams(window.visavis.peers[0].id)?.screen));
  await other.getByRole('button', { name: 'Share screen' }).click();
  await until('a picture of the screen', () => page.locator('#picture').evaluate((video) => video.videoWidth > 0));
  // Said while the wire is cut, it arrives once it is mended.
  wire.cut();
  await page.locator('#notice', { hasText: 'Reconnecting…' }).waitFor();
  await other.evaluate(() => window.visavis.session.send({ type: 'app', topic: 'slide', data: { number: 12 } }));
  wire.mend();
  await page.locator('#slide', { hasText: '12' }).waitFor();
  await other.evaluate(() => window.visavis.session.send({ type: 'host', action: 'end' }).catch(() => {}));
  await page.evaluate(() => window.visavis.session.send({ type: 'host', action: 'end' }).catch(() => {}));
  await page.locator('#notice', { hasText: 'The call is over: host-ended' }).waitFor();
});

test('the bundle exports what the modules do', async () => {
  const bundle = path.join(folder, 'visavis.mjs');
  writeFileSync(bundle, await (await fetch(`${server.url}/sdk/v1/visavis.js`)).text());
  const exported = async (file) => Object.keys(await import(file)).sort();
  assert.deepEqual(await exported(bundle), await exported('../../web/sdk/index.js'));
});

test('the example without a framework is a call', async (t) => {
  const room = newRoom();
  files.set('/web.html', readFileSync(path.join(ROOT, 'examples/web/index.html')));
  const page = await newPage(browser);
  t.after(() => page.context().close());
  await page.goto(`${origin}/web.html?${new URLSearchParams({ server: `${server.url}/`, room })}`);
  await page.locator('#notice', { hasText: 'connected' }).waitFor();
  const other = await participant(browser, server.url, room, { name: 'Bob' });
  t.after(() => other.context().close());
  await moves(page, '[id^="peer-"]');
  await page.getByLabel('Message').fill('Hello');
  await page.getByRole('button', { name: 'Send' }).click();
  await page.locator('#lines', { hasText: 'Ada: Hello' }).waitFor();
  await page.getByRole('button', { name: 'Mute' }).click();
  await page.getByRole('button', { name: 'Unmute' }).waitFor();
  await page.getByRole('button', { name: 'Leave' }).click();
  await until('to be alone', () => other.evaluate(() => window.visavis.peers.length === 0));
  assert.deepEqual(page.problems, []);
});

test('an application in React type-checks with the package, and is a call', async (t) => {
  const application = path.join(folder, 'react');
  cpSync(path.join(ROOT, 'examples/react'), application, { recursive: true });
  installed(tarball(), application);
  writeFileSync(path.join(application, 'messages.ts'), recipe('messages'));
  execFileSync(path.join(MODULES, '.bin/tsc'), ['-p', application], { stdio: ['ignore', 'inherit', 'inherit'] });
  // Types are checked at all.
  writeFileSync(path.join(application, 'wrong.ts'), "import { Call } from '@visavis/sdk';\nvoid new Call().join({ room: 7, name: 'Ada' });\n");
  assert.throws(() => execFileSync(path.join(MODULES, '.bin/tsc'), ['-p', application], { encoding: 'utf8' }), ({ stdout }) => /wrong\.ts\(2,\d+\): error TS2322/.test(stdout));

  const room = newRoom();
  writeFileSync(path.join(application, 'main.tsx'), `import { createRoot } from 'react-dom/client';
    import { Lesson } from './App';
    createRoot(document.body).render(<Lesson server="${server.url}" room="${room}" name="Ada" />);`);
  const { outputFiles } = await build({ entryPoints: [path.join(application, 'main.tsx')], bundle: true, write: false, format: 'esm', target: 'es2022', tsconfig: path.join(application, 'tsconfig.json') });
  files.set('/main.js', outputFiles[0].text);
  const page = await foreign('react.html', '<!doctype html><title>React</title><body><script type="module" src="main.js"></script>');
  t.after(() => page.context().close());
  const other = await participant(browser, server.url, room, { name: 'Bob' });
  t.after(() => other.context().close());
  await page.getByLabel('Bob').waitFor();
  await moves(page, 'video[aria-label=Bob]');
  await page.getByLabel('Message').fill('Hello');
  await page.getByLabel('Message').press('Enter');
  await page.getByText('Ada: Hello').waitFor();
  assert.deepEqual(page.problems, []);
});

test('the package of the release before works with this server', async (t) => {
  const application = path.join(folder, 'before');
  const [release] = readdirSync(new URL('releases', import.meta.url)).sort();
  installed(fileURLToPath(new URL(`releases/${release}`, import.meta.url)), application);
  const room = newRoom();
  const source = `import { Call } from '@visavis/sdk'; const call = window.visavis = new Call({ base: '${server.url}' });
    call.on('media', (id) => { document.querySelector('video').srcObject = call.streams(id)?.main ?? null; });
    await call.media.open({ microphone: true, camera: true }); await call.join({ room: '${room}', name: 'Ada' });`;
  const { outputFiles } = await build({ stdin: { contents: source, resolveDir: application }, bundle: true, write: false, format: 'esm', target: 'es2022' });
  files.set('/before.js', outputFiles[0].text);
  const page = await foreign('before.html', '<!doctype html><title>Before</title><video autoplay></video><script type="module" src="before.js"></script>');
  t.after(() => page.context().close());
  await page.waitForFunction(() => window.visavis?.self);
  const other = await participant(browser, server.url, room, { name: 'Bob' });
  t.after(() => other.context().close());
  await flows(page, 1);
  await flows(other, 1);
  await other.evaluate(() => {
    window.heard = [];
    window.visavis.on('chat', ({ text }) => window.heard.push(text));
  });
  await page.evaluate(() => window.visavis.chat('from before'));
  await until('a line of chat', () => other.evaluate(() => window.heard.includes('from before')));
});

test('a client in Python resumes over server-sent events in forty lines', async (t) => {
  const program = path.join(ROOT, 'examples/python/resume.py');
  assert.ok(readFileSync(program, 'utf8').trim().split('\n').length <= 40);
  const wire = await Wire.to(server);
  t.after(() => wire.close());
  const room = newRoom();
  const host = await (await fetch(`${server.url}/api/v1/sessions`, { method: 'POST', body: JSON.stringify({ type: 'join', room, name: 'Ada' }), headers: { 'Content-Type': 'application/json' } })).json();
  const post = async (message) => {
    const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${host.secret}` };
    assert.equal((await fetch(`${server.url}/api/v1/sessions/${host.session}/messages`, { method: 'POST', headers, body: JSON.stringify(message) })).status, 202);
  };
  const client = spawn('python3', [program, wire.url, room, 'Python'], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => client.kill());
  const ended = once(client, 'exit');
  const [said, complaints] = [[], []];
  createInterface({ input: client.stdout }).on('line', (line) => said.push(line));
  createInterface({ input: client.stderr }).on('line', (line) => complaints.push(line));
  await post({ type: 'chat', text: 'one' });
  await until('the first line', () => said.includes('one'));
  wire.cut();
  await post({ type: 'chat', text: 'two' });
  wire.mend();
  await until('what was said meanwhile', () => said.includes('two'));
  await post({ type: 'chat', text: 'three' });
  await until('the third line', () => said.includes('three'));
  assert.deepEqual(said, ['one', 'two', 'three'], complaints.join('\n'));
  await post({ type: 'host', action: 'end' });
  assert.deepEqual(await ended, [0, null]);
});

test('the guide names everything that the SDK offers', () => {
  const members = (of) => Object.entries(Object.getOwnPropertyDescriptors(of.prototype)).map(([name]) => name).filter((name) => name !== 'constructor');
  const names = [...members(Call), ...members(LocalMedia), ...Object.keys(new Call({ base: 'http://localhost/' }))];
  const [, events] = /@typedef \{object\} CallEvents\n(.*?)\*\//s.exec(readFileSync(path.join(ROOT, 'web/sdk/call.js'), 'utf8'));
  for (const [, name] of events.matchAll(/@property \{.*\} (\w+)/g)) names.push(name);
  for (const [, name] of readFileSync(path.join(ROOT, 'web/sdk/index.js'), 'utf8').matchAll(/^export \{ (\w+) \}/gm)) names.push(name);
  assert.ok(names.length > 60, `${names.length} names`);
  assert.deepEqual(names.filter((name) => !new RegExp(`\`(new )?${name}\\b|[^\\w]${name}[(\`]`).test(GUIDE)), []);
  const version = (file, pattern) => pattern.exec(readFileSync(path.join(ROOT, file), 'utf8'))[1];
  assert.equal(version('web/package.json', /"version": "(.*)"/), version('Cargo.toml', /^\[workspace\.package\]\nversion = "(.*)"/m), 'of the package and of the server');
});
