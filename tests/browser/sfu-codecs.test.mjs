// Chromium publishes by WHIP and Chromium watches by WHEP, through the media server alone (its example program).

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { PATIENCE_MS, launch, newPage } from './harness.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const TARGET = process.env.CARGO_TARGET_DIR ?? path.join(ROOT, 'target');

let endpoint, web, browser, url;

before(async () => {
  const build = spawnSync('cargo', ['build', '-p', 'sfu', '--example', 'whip_whep'], { cwd: ROOT, stdio: 'inherit' });
  assert.equal(build.status, 0);
  endpoint = spawn(path.join(TARGET, 'debug/examples/whip_whep'), ['0', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const base = await new Promise((resolve, reject) => {
    createInterface({ input: endpoint.stdout }).on('line', (line) => {
      const address = /listening on ([\d.:]+)/.exec(line);
      if (address) resolve(`http://${address[1]}`);
    });
    endpoint.once('exit', (code) => reject(new Error(`the example ended with ${code}`)));
  });
  // A page of its own origin that hands offers on.
  web = createServer(async (request, response) => {
    if (request.method !== 'POST') {
      response.setHeader('content-type', 'text/html').end('<!doctype html><video autoplay muted playsinline></video>');
      return;
    }
    let offer = '';
    for await (const chunk of request) offer += chunk;
    try {
      const answer = await fetch(base + request.url, { method: 'POST', body: offer });
      response.writeHead(answer.status).end(await answer.text());
    } catch (error) {
      response.writeHead(502).end(String(error));
    }
  });
  web.listen(0, '127.0.0.1');
  await once(web, 'listening');
  url = `http://localhost:${web.address().port}/`;
  browser = await launch();
});

after(async () => {
  await browser?.close();
  web?.close();
  endpoint?.kill();
});

async function publish(room, codec) {
  const page = await newPage(browser);
  await page.goto(url);
  await page.evaluate(
    async ([room, codec]) => {
      const pc = (window.pc = new RTCPeerConnection());
      const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1280, height: 720 }, audio: true });
      for (const track of stream.getTracks()) {
        const transceiver = pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
        if (track.kind === 'video') {
          const all = RTCRtpReceiver.getCapabilities('video').codecs;
          const isWanted = ({ mimeType }) => mimeType === `video/${codec}`;
          transceiver.setCodecPreferences([...all.filter(isWanted), ...all.filter((other) => !isWanted(other))]);
        }
      }
      await pc.setLocalDescription();
      const answer = await fetch(`/whip/${room}`, { method: 'POST', body: pc.localDescription.sdp });
      if (answer.status !== 201) throw new Error(`WHIP ${answer.status} ${await answer.text()}`);
      await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    },
    [room, codec],
  );
  return page;
}

async function watch(room) {
  const page = await newPage(browser);
  await page.goto(url);
  await page.evaluate(async (room) => {
    const pc = (window.pc = new RTCPeerConnection());
    const stream = new MediaStream();
    pc.ontrack = ({ track }) => {
      stream.addTrack(track);
      document.querySelector('video').srcObject = stream;
    };
    for (const kind of ['audio', 'video']) pc.addTransceiver(kind, { direction: 'recvonly' });
    await pc.setLocalDescription();
    const answer = await fetch(`/whep/${room}`, { method: 'POST', body: pc.localDescription.sdp });
    if (answer.status !== 201) throw new Error(`WHEP ${answer.status} ${await answer.text()}`);
    await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  }, room);
  return page;
}

/** Waits until so many pictures are decoded and sound has come, and says how. */
async function decoded(page, pictures) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await page.evaluate(async () => {
      const found = { frames: 0, samples: 0, lost: 0 };
      for (const report of (await window.pc.getStats()).values()) {
        if (report.type === 'inbound-rtp') {
          found.frames += report.framesDecoded ?? 0;
          found.samples += report.totalSamplesReceived ?? 0;
          found.lost += report.packetsLost;
        }
        if (report.type === 'codec' && report.mimeType.startsWith('video/')) found.codec = report.mimeType;
        if (report.type === 'transport') found.cipher = report.srtpCipher;
      }
      return found;
    });
    if (found.frames >= pictures && found.samples > 0) return found;
    assert.ok(Date.now() < deadline, `only ${JSON.stringify(found)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

for (const codec of ['VP8', 'VP9', 'H264', 'AV1']) {
  test(`${codec} from one Chromium to another`, async () => {
    const [publisher, viewer] = [await publish(codec, codec), await watch(codec)];
    const result = await decoded(viewer, 60);
    assert.equal(result.codec, `video/${codec}`);
    assert.equal(result.lost, 0);
    assert.match(result.cipher, /AEAD/);
    assert.deepEqual([...publisher.problems, ...viewer.problems], []);
    await publisher.context().close();
    await viewer.context().close();
  });
}

test('a viewer who comes first sees the publisher who comes later, and the next one too', async () => {
  const viewer = await watch('early');
  let publisher = await publish('early', 'VP8');
  const { frames } = await decoded(viewer, 30);
  await publisher.evaluate(() => window.pc.close());
  await publisher.context().close();
  publisher = await publish('early', 'VP8');
  await decoded(viewer, frames + 60);
  await publisher.context().close();
  await viewer.context().close();
});
