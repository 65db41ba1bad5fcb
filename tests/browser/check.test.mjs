// The page that tells whether calls will work from here.

import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
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
  const server = await Server.start(...args);
  const page = await newPage(browser);
  try {
    await page.goto(`${server.url}/check`);
    await page.getByRole('button', { name: 'Check again' }).and(page.locator(':enabled')).waitFor();
    const states = await page.locator('[data-probe]').evaluateAll((rows) => rows.map((row) => [row.dataset.probe, row.dataset.state]));
    const summary = await page.getByRole('status').textContent();
    assert.deepEqual(page.problems, []);
    return { summary, ...Object.fromEntries(states) };
  } finally {
    await page.context().close();
    await server.close();
  }
}

test('every probe passes with a server that offers everything', async () => {
  const { summary, ...states } = await checked('--tls-cert', pem, '--tls-key', pem);
  const works = 'works';
  assert.deepEqual(states, { websocket: works, sse: works, stun: works, turnUdp: works, turnTcp: works, turnTls: works, media: works });
  assert.match(summary, /^Calls work from here/);
});

test('a service that is switched off is reported as not offered', async () => {
  const { summary, ...states } = await checked('--no-turn', '--no-sfu', '--transports', 'sse');
  const absent = 'absent';
  assert.deepEqual(states, { websocket: absent, sse: 'works', stun: absent, turnUdp: absent, turnTcp: absent, turnTls: absent, media: absent });
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

