// Behind nginx and Caddy, configured as the operators' guide prints it, at the root and below a path.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { launch, mediaFlows, newPage, Server, until } from './harness.mjs';

const GUIDE = readFileSync(new URL('../../docs/operators.md', import.meta.url), 'utf8');
const TOOLS = new URL('../../target/tools/bin/', import.meta.url).pathname;
const folder = mkdtempSync(path.join(tmpdir(), 'visavis-proxies-'));
const chain = path.join(folder, 'chain.pem');
const key = path.join(folder, 'key.pem');

/** The guide's blocks in a language, in order. */
const blocks = (language) => [...GUIDE.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 'gs'))].map(([, text]) => text);

/** A server's program. */
function program(name) {
  const places = [...process.env.PATH.split(':'), '/usr/sbin', TOOLS].map((place) => path.join(place, name));
  const found = places.find(existsSync);
  assert.ok(found, `${name} is missing: tests/run tools brings it`);
  return found;
}

async function freePort() {
  const listener = net.createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address();
  listener.close();
  await once(listener, 'close');
  return port;
}

/** Replaces what is there; what is not would be another configuration than the guide's. */
function replaced(text, changes) {
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), `the guide has ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** The guide's configuration with this test's ports and certificate, and the command that runs it. */
const PROXIES = {
  nginx(port, upstream, below, change = []) {
    const server = replaced(blocks('nginx')[0], [
      ['listen 443 ssl', `listen 127.0.0.1:${port} ssl`], ['server_name calls.example', 'server_name localhost'],
      ['/etc/letsencrypt/live/calls.example/fullchain.pem', chain], ['/etc/letsencrypt/live/calls.example/privkey.pem', key],
      ['127.0.0.1:8080', `127.0.0.1:${upstream}`], ...(below ? [['location / {', 'location /visavis/ {']] : []), ...change,
    ]);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ');
    const file = path.join(folder, `nginx-${port}.conf`);
    const rest = `daemon off; pid ${file}.pid; error_log stderr; events {}`;
    writeFileSync(file, `${rest}\nhttp {\n${temporary} access_log off;\n${server}\n}\n`);
    return [program('nginx'), '-p', folder, '-e', 'stderr', '-c', file];
  },
  caddy(port, upstream, below) {
    const site = below ? 'example.org {' : 'calls.example {';
    const text = replaced(blocks('caddy')[below ? 1 : 0], [
      [site, `https://localhost:${port} {\n    bind 127.0.0.1\n    tls ${chain} ${key}`], ['127.0.0.1:8080', `127.0.0.1:${upstream}`],
    ]);
    const file = path.join(folder, `Caddyfile-${port}`);
    writeFileSync(file, `{\n    admin off\n    auto_https disable_redirects\n}\n${text}`);
    return [program('caddy'), 'run', '--adapter', 'caddyfile', '--config', file];
  },
};

/** A server with a proxy in front. */
async function behind(name, { below = false, change, told = true } = {}) {
  const port = await freePort();
  const url = `https://localhost:${port}${below ? '/visavis' : ''}`;
  const server = await Server.start('--trusted-proxy', '127.0.0.1/32', ...(told ? ['--public-url', `${url}/`] : []));
  const [command, ...words] = PROXIES[name](port, server.port, below, change);
  const proxy = spawn(command, words, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder } });
  let said = '';
  proxy.stderr.on('data', (data) => { said += data; });
  // A port that accepts does not answer yet: Caddy listens before it has read its certificate.
  await until('the proxy to answer', () => {
    assert.equal(proxy.exitCode, null, said);
    return new Promise((resolve) => {
      https.get(`${url}/livez`, { rejectUnauthorized: false, agent: false }, (answer) => resolve(answer.resume().statusCode === 200)).on('error', () => resolve(false));
    });
  });
  return {
    url,
    async close() {
      const ended = once(proxy, 'exit');
      proxy.kill('SIGTERM');
      await ended;
      await server.close();
    },
  };
}

let browser;
before(async () => {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', chain], { stdio: 'ignore' });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A page that notes what it did not find, and what it looked for outside the server's path. */
async function visitor(url) {
  const page = await newPage(browser, { ignoreHTTPSErrors: true });
  page.strays = [];
  page.on('response', (response) => {
    if (response.status() >= 400 || !response.url().startsWith(url)) page.strays.push(`${response.status()} ${response.url()}`);
  });
  return page;
}

for (const name of Object.keys(PROXIES)) {
  for (const below of [false, true]) {
    test(`calls work behind ${name}, ${below ? 'below a path' : 'at the root'}`, async () => {
      const proxied = await behind(name, { below });
      const { url } = proxied;
      const prefix = new URL(url).pathname.replace(/\/$/, '');
      const ada = await visitor(url);
      await ada.goto(`${url}/`);
      await ada.getByRole('button', { name: 'Start a call' }).click();
      await ada.waitForURL((place) => place.pathname.startsWith(`${prefix}/r/`));
      const link = ada.url().split('#')[0];
      await ada.getByRole('textbox', { name: 'Your name' }).fill('Ada');
      await ada.getByRole('button', { name: 'Join', exact: true }).click();
      await ada.getByRole('button', { name: 'Leave', exact: true }).waitFor();
      for (const transport of ['websocket', 'sse', 'socketio']) {
        const bob = await visitor(url);
        await bob.goto(`${link}?name=Bob&transport=${transport}`);
        await bob.getByRole('button', { name: 'Join', exact: true }).click();
        await ada.locator('[data-peer]').getByText('Bob', { exact: true }).waitFor();
        await mediaFlows(bob, 1);
        assert.deepEqual([bob.problems, bob.strays], [[], []], transport);
        await bob.getByRole('button', { name: 'Leave', exact: true }).click();
        await ada.locator('[data-peer]').waitFor({ state: 'detached' });
        await bob.context().close();
      }
      const places = await ada.evaluate(async (root) => {
        const join = { type: 'join', room: 'elsewhere', name: 'Cy' };
        const joined = await fetch(`${root}/api/v1/sessions`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(join) });
        // The cookie alone opens the session, since its path is the session's.
        const posted = await fetch(`${joined.headers.get('Location')}/messages`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"type":"ping"}' });
        const connection = new RTCPeerConnection();
        connection.addTransceiver('audio', { direction: 'sendonly' });
        await connection.setLocalDescription();
        const offer = { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: connection.localDescription.sdp };
        const whip = await fetch(`${root}/whip/stage/`, offer);
        const ended = await fetch(whip.headers.get('Location'), { method: 'DELETE' });
        connection.close();
        return { joined: joined.headers.get('Location'), posted: posted.status, whip: whip.headers.get('Location'), ended: ended.status };
      }, url);
      assert.ok(places.joined.startsWith(`${prefix}/api/v1/sessions/`), places.joined);
      assert.ok(places.whip.startsWith(`${prefix}/whip/stage/`), places.whip);
      assert.deepEqual([places.posted, places.ended], [202, 200]);
      assert.deepEqual([ada.problems, ada.strays], [[], []]);
      // A meeting's links, and every other page.
      await ada.goto(`${url}/`);
      await ada.getByRole('button', { name: 'New call with code' }).click();
      await ada.waitForURL((place) => place.pathname.startsWith(`${prefix}/m/`));
      const joinUrl = await ada.locator('dd a').getAttribute('href');
      assert.ok(joinUrl.startsWith(`${url}/`), joinUrl);
      await ada.goto(joinUrl);
      for (const [page, place] of [['/meetings/', '/meetings'], ['/api', '/api'], ['/check', '/check'], ['/r/standup/', '/r/standup']]) {
        await ada.goto(url + page);
        assert.equal(ada.url(), url + place);
        await ada.getByRole('heading', { level: 1 }).waitFor();
      }
      await ada.goto(url);
      assert.equal(ada.url(), `${url}/`);
      assert.deepEqual(ada.strays.filter((stray) => !/^30[18] /.test(stray)), []);
      await ada.goto(`${url}/nope/nope`);
      await ada.getByRole('link', { name: 'Home' }).click();
      await ada.getByRole('button', { name: 'Start a call' }).waitFor();
      assert.deepEqual(ada.problems, []);
      await ada.context().close();
      await proxied.close();
    });
  }
}

test('behind a proxy that drops the port the page names the wrong setting', async () => {
  const proxied = await behind('nginx', { told: false, change: [['Host $http_host', 'Host $host']] });
  const page = await newPage(browser, { ignoreHTTPSErrors: true });
  await page.goto(proxied.url);
  const { origin } = new URL(proxied.url);
  const says = page.getByRole('alert').filter({ hasText: `it expects https://localhost, but this page was opened at ${origin}` });
  for (const button of ['Start a call', 'New call with code']) {
    await page.getByRole('button', { name: button }).click();
    await says.waitFor();
    await page.reload();
  }
  await page.goto(`${proxied.url}/r/standup?name=Ada`);
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await says.waitFor();
  await page.context().close();
  await proxied.close();
  // As the guide prints it, nothing more is needed here.
  const kept = await behind('nginx', { told: false });
  const other = await newPage(browser, { ignoreHTTPSErrors: true });
  await other.goto(`${kept.url}/r/standup?name=Ada`);
  await other.getByRole('button', { name: 'Join', exact: true }).click();
  await other.getByRole('button', { name: 'Leave', exact: true }).waitFor();
  await other.context().close();
  await kept.close();
});
