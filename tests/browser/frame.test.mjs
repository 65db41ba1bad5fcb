// The page of a room in a frame of another site.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { launch, newPage, newRoom, participant, Server, until } from './harness.mjs';

/** Two other sites, each of another origin; the server knows the first. */
const contents = new Map();
const sites = [0, 1].map(() => http.createServer((request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(contents.get(request.url) ?? '<!doctype html><title>Empty</title>');
}));
let [known, stranger] = ['', ''];
let browser;
let server;
before(async () => {
  for (const site of sites) await once(site.listen(0, '127.0.0.1'), 'listening');
  [known, stranger] = sites.map((site) => `http://127.0.0.1:${site.address().port}`);
  server = await Server.start('--frame-ancestors', known, '--allowed-origin', 'null');
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
  for (const site of sites) site.close();
});

/** Opens a page with this body at one of the sites. */
async function opened(t, origin, body, { in: where = browser, before = () => {} } = {}) {
  const path = `/${contents.size}`;
  contents.set(path, `<!doctype html><title>Site</title><style>visavis-call, iframe { width: 900px; height: 600px }</style>${body}`);
  const page = await newPage(where);
  t.after(() => page.context().close());
  await before(page);
  await page.goto(origin + path);
  return page;
}
const element = (attributes) => `<script type="module" src="${server.url}/sdk/v1/embed.js"></script><visavis-call ${attributes}></visavis-call>
  <script>
    var heard = [];
    for (const name of ['ready', 'state', 'joined', 'updated', 'left', 'self', 'ended', 'problem', 'refused'])
      document.querySelector('visavis-call').addEventListener(name, ({ detail }) => heard.push([name, detail]));
  </script>`;
const heard = (page, what, test) => until(what, () => page.evaluate(`heard.find(([name, detail]) => (${test})(name, detail))`));

test('an element joins with the devices off, obeys its page, and tells it what happens', async (t) => {
  const room = newRoom();
  const page = await opened(t, known, element(`room="${room}" name="Ada" header="off" chat="off"`));
  await heard(page, 'the welcome', (name, detail) => name === 'state' && detail === 'connected');
  const other = await participant(browser, server.url, room, { name: 'Bob' });
  t.after(() => other.context().close());
  await heard(page, 'Bob', (name, detail) => name === 'joined' && detail.name === 'Bob');
  const { microphone, camera } = await other.evaluate(() => window.visavis.peers[0]);
  assert.deepEqual([microphone, camera], [false, false]);

  const frame = page.frames().find((one) => one.url().includes(`/r/${room}`));
  await frame.getByRole('button', { name: 'Leave', exact: true }).waitFor();
  assert.equal(await frame.getByRole('button', { name: 'Chat' }).count(), 0);
  assert.equal(await frame.getByRole('button', { name: 'Settings' }).isVisible(), false);
  const who = await page.evaluate(() => document.querySelector('visavis-call').who());
  assert.deepEqual(who.map(({ name }) => name), ['Ada', 'Bob']);

  // Only the user switches on; the page may switch off.
  await frame.getByRole('button', { name: 'Unmute microphone' }).click();
  await until('sound', () => other.evaluate(() => window.visavis.peers[0].microphone));
  await page.evaluate(() => document.querySelector('visavis-call').mute());
  await until('silence', () => other.evaluate(() => !window.visavis.peers[0].microphone));
  await page.evaluate(() => document.querySelector('visavis-call').setLayout('speaker'));
  assert.equal(await frame.evaluate(() => JSON.parse(localStorage.getItem('visavis.preferences')).layout), 'speaker');
  const refusal = (layout) => page.evaluate((layout) => document.querySelector('visavis-call').setLayout(layout).catch(({ code }) => code), layout);
  assert.equal(await refusal('star'), 'bad-request');
  assert.equal(await page.evaluate(() => document.querySelector('visavis-call').join({ name: 'Eve' }).catch(({ code }) => code)), 'invalid-state');

  await other.getByRole('button', { name: 'Leave', exact: true }).click();
  await heard(page, 'that Bob has left', (name, detail) => name === 'left' && detail.name === 'Bob' && detail.reason === 'left');
  await page.evaluate(() => document.querySelector('visavis-call').leave());
  await heard(page, 'the end', (name, detail) => name === 'ended' && detail.reason === 'left');
  assert.deepEqual(page.problems, []);
});

test('without a name, the user sees the screen before the call; outside of a frame always', async (t) => {
  const room = newRoom();
  const page = await opened(t, known, element(`room="${room}"`));
  await page.frameLocator('visavis-call iframe').getByRole('button', { name: 'Join', exact: true }).waitFor();
  const alone = await newPage(browser);
  t.after(() => alone.context().close());
  await alone.goto(`${server.url}/r/${room}?prejoin=off&name=Ada`);
  await alone.getByRole('button', { name: 'Join', exact: true }).waitFor();
});

test('commands of a stranger are not obeyed', async (t) => {
  const room = newRoom();
  // A frame beside the call, in a page that the server knows: of a stranger, and of the page's own site.
  contents.set('/beside', `<!doctype html><script>
    const command = (command, value) => ({ to: 'visavis', command, value, id: 1 });
    addEventListener('message', ({ data }) => { 
      if (data !== 'go') return parent.postMessage(['leaked', data], '*');
      for (const each of ['leave', 'mute', 'who']) parent.frames[0].postMessage(command(each), '*');
      window.sent = true;
    });
  </script>`);
  const page = await opened(t, known, `<iframe src="${server.url}/r/${room}?prejoin=off&name=Ada"></iframe>
    <iframe src="${stranger}/beside"></iframe><iframe src="${known}/beside"></iframe>
    <script>
      var heard = [];
      addEventListener('message', ({ data }) => heard.push([data.event ?? data[0] ?? 'answer', data]));
    </script>`);
  await heard(page, 'the welcome', (name, data) => name === 'state' && data.detail === 'connected');
  await page.evaluate(() => [1, 2].forEach((at) => frames[at].postMessage('go', '*')));
  const call = page.frames().find((one) => one.url().includes(`/r/${room}`));
  const beside = page.frames().filter((one) => one.url().endsWith('/beside'));
  assert.equal(beside.length, 2);
  for (const frame of beside) await frame.waitForFunction(() => window.sent);
  // What the page itself asks afterwards is answered after them, and nothing has happened meanwhile.
  await page.evaluate((origin) => frames[0].postMessage({ to: 'visavis', command: 'who', id: 2 }, origin), server.url);
  const [, answer] = await heard(page, 'an answer', (name) => name === 'answer');
  assert.deepEqual([answer.answers, answer.result.map(({ name }) => name)], [2, ['Ada']]);
  assert.equal(await call.evaluate(() => window.visavis.session.state), 'connected');
  assert.equal(await page.evaluate(() => heard.some(([name]) => name === 'leaked')), false);

  // A stranger's page cannot show the call; if a browser would, its commands were still not obeyed.
  const blocked = await opened(t, stranger, `<iframe src="${server.url}/r/${room}"></iframe>`);
  assert.equal(await blocked.frameLocator('iframe').getByRole('button', { name: 'Join', exact: true }).count(), 0);
  const body = `<iframe allow="camera; microphone" src="${server.url}/r/${room}?prejoin=off"></iframe><script>var answers = []; addEventListener('message', ({ data }) => answers.push(data));</script>`;
  const forced = await opened(t, stranger, body, {
    before: (page) => page.route('**/r/**', async (route) => {
      const response = await route.fetch();
      const headers = response.headers();
      delete headers['content-security-policy'];
      delete headers['x-frame-options'];
      await route.fulfill({ response, headers });
    }),
  });
  const frame = await until('the frame', () => forced.frames().find((one) => one.url().includes(`/r/${room}`)));
  await frame.waitForFunction(() => window.visavis && document.querySelector('main'));
  await forced.evaluate(() => frames[0].postMessage({ to: 'visavis', command: 'join', value: { name: 'Eve' }, id: 1 }, '*'));
  // The frame handles messages in order; its own comes last.
  await frame.evaluate(() => new Promise((resolve) => {
    addEventListener('message', ({ data }) => data === 'last' && resolve());
    postMessage('last', '*');
  }));
  assert.equal(await frame.evaluate(() => window.visavis.session.state), 'idle');
  assert.deepEqual(await forced.evaluate(() => answers), []);
});

test('a frame that may not use the devices is told apart from a user who denies them', async (t) => {
  const room = newRoom();
  const without = await opened(t, known, `<iframe src="${server.url}/r/${room}"></iframe>`);
  await without.frameLocator('iframe').getByText('its frame needs allow="camera; microphone"').waitFor();
  const denying = await launch({ devices: 'denied' });
  t.after(() => denying.close());
  const denied = await opened(t, known, element(`room="${room}"`), { in: denying });
  await denied.frameLocator('visavis-call iframe').getByText('This page is not allowed to use your camera and microphone').waitFor();
  await heard(denied, 'the problem', (name, detail) => name === 'problem' && detail.problem === 'denied');
});

test('a sandboxed frame gets no cookies', async (t) => {
  const join = JSON.stringify({ type: 'join', room: newRoom(), name: 'Ada' });
  const inside = `<script>fetch('${server.url}/api/v1/sessions', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '${join}' })
    .then(async (answer) => parent.postMessage([origin, answer.status], '*'), (error) => parent.postMessage([origin, String(error)], '*'))</script>`;
  const page = await opened(t, known, `<script>var told = new Promise((resolve) => addEventListener('message', ({ data }) => resolve(data)));</script>
    <iframe sandbox="allow-scripts" srcdoc="${inside.replaceAll('&', '&amp;').replaceAll('"', '&quot;')}"></iframe>`);
  assert.deepEqual(await page.evaluate(() => told), ['null', 201]);
  assert.deepEqual(await page.context().cookies(), []);
});
