// Behind nginx, Caddy, HAProxy and Traefik, by the recipes of deploy/proxies, at the root and below a path.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { freePort, launch, mediaFlows, newPage, Server, until } from './harness.mjs';

const RECIPES = new URL('../../deploy/proxies/', import.meta.url);
const TOOLS = new URL('../../target/tools/bin/', import.meta.url).pathname;
const folder = mkdtempSync(path.join(tmpdir(), 'visavis-proxies-'));
const chain = path.join(folder, 'chain.pem');
const key = path.join(folder, 'key.pem');

/** A server's program. */
function program(name) {
  const places = [...process.env.PATH.split(':'), '/usr/sbin', TOOLS].map((place) => path.join(place, name));
  const found = places.find(existsSync);
  assert.ok(found, `${name} is missing: tests/run tools brings it`);
  return found;
}

/** A recipe of deploy/proxies with what this machine has other; what is not in it would be another recipe. */
function recipe(name, changes) {
  let text = readFileSync(new URL(name, RECIPES), 'utf8');
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), `${name} has ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** Writes a file of this test's. */
function written(name, text) {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

/** Each proxy's recipe with this test's ports and certificate, and the command that runs it. */
const PROXIES = {
  nginx({ http, https, upstream, below, change = [] }) {
    const site = below ? 'example.org' : 'calls.example';
    const server = recipe(below ? 'nginx-below-a-path.conf' : 'nginx.conf', [
      ['listen 80;', `listen 127.0.0.1:${http};`], ['listen [::]:80;', ''], ['listen 443 ssl', `listen 127.0.0.1:${https} ssl`],
      ['listen [::]:443 ssl http2;', ''], [`server_name ${site}`, 'server_name localhost'],
      [`/etc/letsencrypt/live/${site}/fullchain.pem`, chain], [`/etc/letsencrypt/live/${site}/privkey.pem`, key],
      ['127.0.0.1:8080', `127.0.0.1:${upstream}`], ...change,
    ]);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ');
    const rest = `daemon off; pid ${folder}/nginx-${https}.pid; error_log stderr; events {}`;
    const file = written(`nginx-${https}.conf`, `${rest}\nhttp {\n${temporary} access_log off;\n${server}\n}\n`);
    return [program('nginx'), '-p', folder, '-e', 'stderr', '-c', file];
  },
  caddy({ http, https, upstream, below }) {
    const site = below ? 'example.org {' : 'calls.example {';
    const text = recipe(below ? 'Caddyfile-below-a-path' : 'Caddyfile', [
      [site, `localhost {\n\tbind 127.0.0.1\n\ttls ${chain} ${key}`], ['127.0.0.1:8080', `127.0.0.1:${upstream}`],
    ]);
    const file = written(`Caddyfile-${https}`, `{\n\tadmin off\n\thttp_port ${http}\n\thttps_port ${https}\n}\n${text}`);
    return [program('caddy'), 'run', '--adapter', 'caddyfile', '--config', file];
  },
  haproxy({ http, https, upstream, below }) {
    const pem = written('haproxy.pem', readFileSync(chain, 'utf8') + readFileSync(key, 'utf8'));
    const site = below ? 'example.org' : 'calls.example';
    const text = recipe(below ? 'haproxy-below-a-path.cfg' : 'haproxy.cfg', [
      ['bind :::80 v4v6', `bind 127.0.0.1:${http}`], ['bind :::443 v4v6', `bind 127.0.0.1:${https}`],
      [`/etc/haproxy/certs/${site}.pem alpn`, `${pem} alpn`], ['127.0.0.1:8080', `127.0.0.1:${upstream}`],
      // An account that a package would have made.
      ['    user haproxy\n    group haproxy\n', ''],
    ]);
    return [program('haproxy'), '-db', '-f', written(`haproxy-${https}.cfg`, text)];
  },
  traefik({ http, https, upstream, below }) {
    const site = below ? 'example.org' : 'calls.example';
    const dynamic = path.join(folder, `traefik-${https}`);
    mkdirSync(dynamic);
    const routers = recipe(below ? 'traefik-below-a-path.yaml' : 'traefik-at-the-root.yaml', [
      [`Host(\`${site}\`)`, 'Host(`localhost`)'], ['127.0.0.1:8080', `127.0.0.1:${upstream}`],
      [`/etc/letsencrypt/live/${site}/fullchain.pem`, chain], [`/etc/letsencrypt/live/${site}/privkey.pem`, key],
    ]);
    writeFileSync(path.join(dynamic, 'visavis.yaml'), routers);
    const text = recipe('traefik.yaml', [
      ['":80"', `"127.0.0.1:${http}"`], ['":443"', `"127.0.0.1:${https}"`], ['/etc/traefik/dynamic', dynamic],
      // The port that redirects go to, which is the entry point's own only where that is public.
      ['to: https\n', `to: ":${https}"\n`],
    ]);
    return [program('traefik'), `--configFile=${written(`traefik-${https}.yaml`, text)}`];
  },
};

/** A server with a proxy in front. */
async function behind(name, { below = false, change, told = true } = {}) {
  const [http, https] = [await freePort(), await freePort()];
  const prefix = below ? '/visavis' : '';
  const url = `https://localhost:${https}${prefix}`;
  const settings = new URL(below ? 'visavis-below-a-path.toml' : 'visavis.toml', RECIPES).pathname;
  const server = await Server.start(...(told ? ['--config', settings, '--public-url', `${url}/`] : ['--trusted-proxy', '127.0.0.1/32']));
  const [command, ...words] = PROXIES[name]({ http, https, upstream: server.port, below, change });
  const proxy = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder } });
  let said = '';
  for (const stream of [proxy.stdout, proxy.stderr]) stream.on('data', (data) => { said += data; });
  // A port that accepts does not answer yet: Caddy listens before it has read its certificate.
  await until('the proxy to answer', () => {
    assert.equal(proxy.exitCode, null, said);
    return status(`${url}/livez`).then((code) => code === 200, () => false);
  });
  return {
    url,
    http: `http://localhost:${http}${prefix}`,
    async close() {
      const ended = once(proxy, 'exit');
      proxy.kill('SIGTERM');
      await ended;
      await server.close();
    },
  };
}

/** The status of an answer. */
function status(url) {
  return new Promise((resolve, reject) => {
    const { get } = url.startsWith('https:') ? https : http;
    get(url, { rejectUnauthorized: false, agent: false }, (answer) => resolve(answer.resume().statusCode)).on('error', reject);
  });
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
      assert.match(String(await status(proxied.http)), /^30[18]$/, 'http is redirected');
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
  // As the recipe has it, nothing more is needed here.
  const kept = await behind('nginx', { told: false });
  const other = await newPage(browser, { ignoreHTTPSErrors: true });
  await other.goto(`${kept.url}/r/standup?name=Ada`);
  await other.getByRole('button', { name: 'Join', exact: true }).click();
  await other.getByRole('button', { name: 'Leave', exact: true }).waitFor();
  await other.context().close();
  await kept.close();
});
