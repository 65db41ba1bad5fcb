// The page that tells whether calls will work from here.

import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { pathCauses } from '../../web/page/check/causes.js';
import { launch, newPage, Server } from './harness.mjs';

const folder = mkdtempSync(path.join(tmpdir(), 'visavis-check-'));
const pem = path.join(folder, 'certificate.pem');
let browser;
before(async () => {
  const other = await Server.start('--tls', 'auto');
  copyFileSync(other.file('self-made-certificate.pem'), pem);
  await other.close();
  browser = await launch({ flags: ['--ignore-certificate-errors'] });
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** What the page says of each way, and in sum. */
async function checked(...args) {
  const { summary, states } = await look(browser, () => {}, ...args);
  return { summary, ...states };
}

/** The same with the causes that it names and its report, in a page that `prepare` has prepared. */
async function look(browser, prepare, ...args) {
  const server = await Server.start(...args);
  const page = await newPage(browser);
  try {
    await page.addInitScript(() => {
      navigator.clipboard.writeText = async (text) => { window.copied = text; };
    });
    await prepare(page);
    await page.goto(`${server.url}/check`);
    await page.getByRole('button', { name: 'Check again' }).and(page.locator(':enabled')).waitFor();
    const states = await page.locator('[data-probe]').evaluateAll((rows) => rows.map((row) => [row.dataset.probe, row.dataset.state]));
    const summary = await page.getByRole('status').textContent();
    const causes = await page.locator('.probe[data-cause]').evaluateAll((rows) => rows.map((row) => [row.dataset.probe ?? row.dataset.device, row.dataset.cause]));
    const hints = await page.locator('.probe[data-cause] .hint').allTextContents();
    assert.ok(hints.every((hint) => /\w/.test(hint)), 'each is said in a sentence');
    await page.getByRole('button', { name: 'Copy report' }).click();
    await page.getByRole('button', { name: 'Report copied' }).waitFor();
    const report = JSON.parse(await page.evaluate(() => window.copied));
    assert.deepEqual(page.problems, []);
    const { clock, ...paths } = Object.fromEntries(states);
    return { summary, states: paths, clock, causes: Object.fromEntries(causes), report };
  } finally {
    await page.context().close();
    await server.close();
  }
}

test('every probe passes with a server that offers everything', async () => {
  const { summary, ...states } = await checked('--tls-cert', pem, '--tls-key', pem);
  const works = 'works';
  assert.deepEqual(states, { websocket: works, sse: works, stun: works, turnUdp: works, turnTcp: works, turnTls: works, media: works, iceTcp: works });
  assert.match(summary, /^Calls work from here/);
});

test('a service that is switched off is reported as not offered', async () => {
  const { summary, ...states } = await checked('--no-turn', '--no-sfu', '--transports', 'sse');
  const absent = 'absent';
  assert.deepEqual(states, { websocket: absent, sse: 'works', stun: absent, turnUdp: absent, turnTcp: absent, turnTls: absent, media: absent, iceTcp: absent });
  assert.match(summary, /neither the media server nor a relay is available/);
});

test('a relay that does not answer is reported as not working', async () => {
  // Nothing is behind this port, which belongs to nobody.
  const { summary, ...states } = await checked('--no-turn', '--ice-server', 'turn:127.0.0.1:9,user,secret');
  assert.equal(states.turnUdp, 'fails');
  assert.equal(states.media, 'works');
  assert.match(summary, /no relay is available/);
});

for (const [devices, camera, microphone, summary] of [
  ['granted', 'works', 'works', /^Calls work from here/],
  ['denied', 'fails', 'fails', /a camera or microphone does not work/],
  ['none', 'absent', 'absent', /a camera or microphone does not work/],
]) {
  test(`camera and microphone are tested and released: ${devices}`, async () => {
    const other = await launch({ devices });
    const server = await Server.start();
    const page = await newPage(other);
    await page.addInitScript(() => {
      window.tracks = [];
      const get = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (wanted) => {
        const stream = await get(wanted);
        window.tracks.push(...stream.getTracks());
        return stream;
      };
    });
    await page.goto(server.url);
    await page.getByRole('link', { name: 'Check this browser' }).click();
    await page.getByRole('button', { name: 'Check again' }).and(page.locator(':enabled')).waitFor();
    const states = await page.locator('[data-device]').evaluateAll((rows) => rows.map((row) => row.dataset.state));
    assert.deepEqual(states, [camera, microphone]);
    assert.match(await page.getByRole('status').textContent(), summary);
    assert.equal(await page.getByRole('img', { name: 'Picture of the camera' }).count(), camera === 'works' ? 1 : 0);
    assert.deepEqual(await page.evaluate(() => window.tracks.map(({ readyState }) => readyState)), devices === 'granted' ? ['ended', 'ended'] : []);
    if (devices !== 'granted') assert.match(await page.locator('[data-device="camera"] .hint').textContent(), /\w/);
    assert.deepEqual(page.problems, []);
    await other.close();
    await server.close();
  });
}

for (const [what, { devices = 'granted', flags = [], prepare = () => {}, args = [] }, expected] of [
  ['devices that are refused', { devices: 'denied' }, { camera: 'camera-denied', microphone: 'microphone-denied' }],
  ['devices that are missing', { devices: 'none' }, { camera: 'no-camera', microphone: 'no-microphone' }],
  ['devices that another program uses', { prepare: failing('NotReadableError') }, { camera: 'camera-busy', microphone: 'microphone-busy' }],
  ['devices that fail for a reason that is not on the list', { prepare: failing('TypeError') }, { camera: 'unknown', microphone: 'unknown' }],
  ['a clock that is five minutes off', { prepare: (page) => page.clock.install({ time: Date.now() + 300_000 }) }, { clock: 'clock-off' }],
  ['a network without UDP', { flags: ['--webrtc-ip-handling-policy=disable_non_proxied_udp'] }, { turnUdp: 'udp-blocked', media: 'udp-blocked' }],
  ['a relay that is not there', { args: ['--no-turn', '--ice-server', 'turn:127.0.0.1:9,user,secret'] }, { turnUdp: 'relay-unreachable' }],
  ['two at once', { devices: 'denied', args: ['--no-turn', '--ice-server', 'turn:127.0.0.1:9,user,secret'] }, { turnUdp: 'relay-unreachable', camera: 'camera-denied', microphone: 'microphone-denied' }],
]) {
  test(`the cause is named: ${what}`, async () => {
    const other = await launch({ devices, flags });
    const { causes, report } = await look(other, prepare, ...args);
    assert.deepEqual(causes, expected, JSON.stringify(report));
    assert.deepEqual(report.causes, expected);
    assert.equal(JSON.stringify(report).includes('secret'), false);
    await other.close();
  });
}

/** Every device fails with this error. */
function failing(name) {
  return (page) => page.addInitScript((error) => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(error === 'TypeError' ? new TypeError('no') : new DOMException('no', error));
  }, name);
}

test('causes are named only where the outcomes leave no other explanation', () => {
  const { works, fails, absent } = { works: 'works', fails: 'fails', absent: 'absent' };
  const all = { websocket: works, sse: works, stun: works, turnUdp: works, turnTcp: works, turnTls: works, media: works, iceTcp: works };
  const causes = (outcomes, udp = true, seen = {}) => pathCauses({ ...all, ...outcomes }, { udp, ...seen });
  assert.deepEqual(causes({}), {});
  assert.deepEqual(causes({ websocket: fails }), { websocket: 'unknown' });
  assert.deepEqual(causes({ websocket: fails, sse: fails, media: absent }), { websocket: 'server-unreachable', sse: 'server-unreachable' });
  assert.deepEqual(causes({ stun: fails, turnUdp: fails, media: fails }, false), { stun: 'udp-blocked', turnUdp: 'udp-blocked', media: 'udp-blocked' });
  assert.deepEqual(causes({ stun: fails, turnUdp: fails }, false), { stun: 'udp-blocked', turnUdp: 'udp-blocked' });
  assert.deepEqual(causes({ stun: fails, turnUdp: fails }), { stun: 'unknown', turnUdp: 'unknown' }, 'UDP comes through to the media server');
  assert.deepEqual(causes({ turnTcp: fails, turnTls: fails }), { turnTcp: 'tcp-blocked', turnTls: 'tcp-blocked' });
  assert.deepEqual(causes({ turnTls: fails }), { turnTls: 'unknown' });
  assert.deepEqual(causes({ media: fails }), { media: 'unknown' });
  assert.deepEqual(causes({ stun: fails, turnUdp: fails, turnTcp: fails, turnTls: fails }), { stun: 'relay-unreachable', turnUdp: 'relay-unreachable', turnTcp: 'relay-unreachable', turnTls: 'relay-unreachable' });
  // The relay and the media server by TCP on the page's port, and what they refuse.
  const inspected = { https: true, tlsHere: true };
  const lost = { heard: false, tcpHere: true };
  assert.deepEqual(causes({ turnTls: fails, iceTcp: fails }, true, inspected), { turnTls: 'tls-inspected', iceTcp: 'tls-inspected' });
  assert.deepEqual(causes({ turnTls: fails, iceTcp: fails }, true, { ...inspected, https: false }), { turnTls: 'unknown', iceTcp: 'unknown' });
  assert.deepEqual(causes({ turnTls: fails }, true, inspected), { turnTls: 'unknown' }, 'the certificate may be refused');
  assert.deepEqual(causes({ media: fails, iceTcp: fails }, true, lost), { media: 'wrong-external-address', iceTcp: 'wrong-external-address' });
  assert.deepEqual(causes({ media: fails, iceTcp: fails }, true, { ...lost, heard: true }), { media: 'unknown', iceTcp: 'unknown' });
  assert.deepEqual(causes({ media: fails, iceTcp: fails }, true, { heard: false }), { media: 'unknown', iceTcp: 'unknown' });
  assert.deepEqual(causes({ media: fails }, true, { path: true }), { media: 'dtls-failed' });
  assert.deepEqual(causes({ turnUdp: fails }, true, { refused: { turnUdp: 486 } }), { turnUdp: 'relay-quota' });
  assert.deepEqual(causes({ turnUdp: fails }, true, { refused: { turnUdp: 401 } }), { turnUdp: 'relay-refused' });
  assert.deepEqual(causes({ turnUdp: fails, turnTcp: fails }, true, { refused: { turnUdp: 486, turnTcp: 403 } }), { turnUdp: 'relay-quota', turnTcp: 'relay-refused' });
  const nothing = causes({ stun: fails, turnUdp: fails, turnTcp: fails, turnTls: fails, media: fails, iceTcp: fails }, false);
  assert.ok(Object.values(nothing).every((cause) => cause === 'unknown'), 'a firewall, or a relay and a media server that are both down');
});
