// Chromium publishes by WHIP and watches by WHEP with nothing but fetch, in the rooms of a server.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, newPage, newRoom, participant, Server, until } from './harness.mjs';

let server, browser;
before(async () => {
  server = await Server.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** A page of the server's, with the client's half of WHIP and WHEP. */
async function client() {
  const page = await newPage(browser);
  await page.goto(server.url);
  await page.evaluate(() => {
    window.pc = new RTCPeerConnection();
    window.stream = new MediaStream();
    const video = document.createElement('video');
    video.autoplay = video.muted = true;
    document.body.append(video);
    window.pc.ontrack = ({ track }) => {
      window.stream.addTrack(track);
      video.srcObject = window.stream;
    };
    window.offer = async (path) => {
      await window.pc.setLocalDescription();
      const response = await fetch(path, {
        method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: window.pc.localDescription.sdp,
      });
      if (response.status !== 201) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      window.place = response.headers.get('location');
      window.tag = response.headers.get('etag');
      await window.pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    };
    window.patch = (tag, body) =>
      fetch(window.place, { method: 'PATCH', headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': tag }, body });
  });
  return page;
}

/** Publishes, with one codec alone. */
async function publish(room, codec = 'VP8', kinds = ['audio', 'video']) {
  const page = await client();
  await page.evaluate(async ([room, codec, kinds]) => {
    const stream = await navigator.mediaDevices.getUserMedia({
      video: kinds.includes('video') && { width: 1280, height: 720 }, audio: kinds.includes('audio'),
    });
    for (const track of stream.getTracks()) {
      const transceiver = window.pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
      const only = track.kind === 'video' ? [`video/${codec}`, 'video/rtx'] : ['audio/opus'];
      const all = RTCRtpReceiver.getCapabilities(track.kind).codecs;
      transceiver.setCodecPreferences(all.filter(({ mimeType }) => only.includes(mimeType)));
    }
    await window.offer(`/whip/${room}?name=Camera`);
  }, [room, codec, kinds]);
  return page;
}

async function watch(room) {
  const page = await client();
  await page.evaluate(async (room) => {
    for (const kind of ['audio', 'video']) window.pc.addTransceiver(kind, { direction: 'recvonly' });
    await window.offer(`/whep/${room}`);
  }, room);
  return page;
}

function totals(page) {
  return page.evaluate(async () => {
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
}

/** Waits until so many more pictures are decoded and more sound has come, and says how. */
async function decoded(page, pictures, samples = 1) {
  const before = await totals(page);
  return until(`${pictures} pictures more than ${JSON.stringify(before)}`, async () => {
    const now = await totals(page);
    return now.frames >= before.frames + pictures && now.samples >= before.samples + samples && now;
  });
}

const close = (...pages) => Promise.all(pages.map((page) => page.context().close()));
const end = (page) => page.evaluate(async () => (await fetch(window.place, { method: 'DELETE' })).status);

for (const codec of ['VP8', 'VP9', 'H264', 'AV1']) {
  test(`${codec} from one Chromium to another`, async () => {
    const room = newRoom();
    const [publisher, viewer] = [await publish(room, codec), await watch(room)];
    const result = await decoded(viewer, 60);
    assert.equal(result.codec, `video/${codec}`);
    assert.equal(result.lost, 0);
    assert.match(result.cipher, /AEAD/);
    assert.deepEqual([...publisher.problems, ...viewer.problems], []);
    await close(publisher, viewer);
  });
}

test('a viewer from before the publisher gets its media, and that of the next one', async () => {
  const room = newRoom();
  const viewer = await watch(room);
  const first = await publish(room);
  await decoded(viewer, 30);
  assert.equal(await end(first), 200);
  await close(first);
  const second = await publish(room);
  await decoded(viewer, 30);
  // Sound alone, in the sections that are there.
  assert.equal(await end(second), 200);
  const third = await publish(room, 'VP8', ['audio']);
  await decoded(viewer, 0, 48_000);
  await close(second, third, viewer);
});

test('candidates by PATCH, and an ICE restart through which media goes on', async () => {
  const room = newRoom();
  const [publisher, viewer] = [await publish(room), await watch(room)];
  await decoded(viewer, 10);
  for (const page of [publisher, viewer]) {
    const [trickled, restarted, stale] = await page.evaluate(async () => {
      const { pc, patch } = window;
      const line = (sdp, name) => new RegExp(`^a=${name}:.*`, 'm').exec(sdp)[0];
      const fragment = (sdp, more = []) =>
        [line(sdp, 'ice-ufrag'), line(sdp, 'ice-pwd'), 'm=audio 9 UDP/TLS/RTP/SAVPF 0', 'a=mid:0', ...more, ''].join('\r\n');
      const candidate = 'a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host';
      const trickled = await patch(window.tag, fragment(pc.localDescription.sdp, [candidate, 'a=end-of-candidates']));
      // The restart: new credentials there, and ours put into the answer that there was.
      const answer = pc.remoteDescription.sdp;
      await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
      const response = await patch('*', fragment(pc.localDescription.sdp));
      const theirs = await response.text();
      const renewed = ['ice-ufrag', 'ice-pwd'].reduce(
        (sdp, name) => sdp.replaceAll(new RegExp(`^a=${name}:.*`, 'gm'), line(theirs, name)), answer);
      await pc.setRemoteDescription({ type: 'answer', sdp: renewed });
      const stale = await patch(window.tag, fragment(pc.localDescription.sdp));
      window.tag = response.headers.get('etag');
      const current = await patch(window.tag, fragment(pc.localDescription.sdp));
      return [[trickled.status, current.status], response.status, stale.status];
    });
    assert.deepEqual({ trickled, restarted, stale }, { trickled: [204, 204], restarted: 200, stale: 412 });
    const remote = () => page.evaluate(() => /ice-ufrag:(.*)/.exec(window.pc.currentRemoteDescription.sdp)[1]);
    assert.ok(await remote());
    await until('the restart is done', () => page.evaluate(() => ['connected', 'completed'].includes(window.pc.iceConnectionState)));
    await decoded(viewer, 30);
  }
  await close(publisher, viewer);
});

test('a camera over WHIP is seen by people, and its end too', async () => {
  const room = newRoom();
  const ada = await participant(browser, server.url, room, { name: 'Ada' });
  await ada.evaluate(() => {
    window.told = [];
    window.visavis.on('event', ({ type, peer, tracks, reason }) => {
      if (type.startsWith('broadcaster-') || type === 'peer-left') window.told.push([type, peer, tracks?.length ?? reason]);
    });
  });
  const told = (type) => until(type, () => ada.evaluate((type) => window.told.find(([said]) => said === type), type));
  const camera = await publish(room);
  const [, peer, tracks] = await told('broadcaster-connected');
  assert.equal(tracks, 2);
  const tile = ada.locator(`[data-peer="${peer}"]:not(.no-picture)`, { hasText: 'Camera' });
  await until('its picture', () => tile.locator('video').evaluate((video) => video.videoWidth > 0 && video.currentTime > 0.5));
  // It stops sending and stays, then sends on.
  await camera.evaluate(() => Promise.all(window.pc.getSenders().map((sender) => {
    window.kept ??= window.pc.getSenders().map(({ track }) => track);
    return sender.replaceTrack(null);
  })));
  await told('broadcaster-disconnected');
  await ada.evaluate(() => (window.told = []));
  await camera.evaluate(() => Promise.all(window.pc.getSenders().map((sender, at) => sender.replaceTrack(window.kept[at]))));
  await told('broadcaster-connected');
  // Closed without a word by HTTP.
  await camera.evaluate(() => window.pc.close());
  assert.deepEqual(await told('peer-left'), ['peer-left', peer, 'left']);
  assert.equal(await end(camera), 404);
  await tile.waitFor({ state: 'detached' });
  assert.deepEqual(ada.problems, []);
  await close(camera, ada);
});

/** The loudness of each channel of what a page hears of somebody. */
function channels(page, peer) {
  return page.evaluate(async (peer) => {
    const context = new AudioContext();
    const splitter = context.createChannelSplitter(2);
    const analysers = [0, 1].map((channel) => {
      const analyser = context.createAnalyser();
      splitter.connect(analyser, channel);
      return analyser;
    });
    context.createMediaStreamSource(window.visavis.streams(peer).main).connect(splitter);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const loudness = analysers.map((analyser) => {
      const samples = new Float32Array(analyser.fftSize);
      analyser.getFloatTimeDomainData(samples);
      return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
    });
    await context.close();
    return loudness;
  }, peer);
}

test('stereo stays stereo on the page', async () => {
  const room = newRoom();
  const ada = await participant(browser, server.url, room, { name: 'Ada' });
  const camera = await client();
  await camera.evaluate(async (room) => {
    const context = new AudioContext();
    const [tone, merger, out] = [context.createOscillator(), context.createChannelMerger(2), context.createMediaStreamDestination()];
    // On the right alone: of one channel made of two, the left would have it.
    tone.connect(merger, 0, 1);
    merger.connect(out);
    tone.start();
    window.pc.addTransceiver(out.stream.getAudioTracks()[0], { direction: 'sendonly' });
    const { sdp } = await window.pc.createOffer();
    await window.pc.setLocalDescription({ type: 'offer', sdp: sdp.replace('useinbandfec=1', 'useinbandfec=1;stereo=1;sprop-stereo=1') });
    const headers = { 'Content-Type': 'application/sdp' };
    const response = await fetch(`/whip/${room}?name=Band`, { method: 'POST', headers, body: window.pc.localDescription.sdp });
    await window.pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  }, room);
  const peer = await until('the band', () => ada.evaluate(() => window.visavis.peers.find(({ name }) => name === 'Band')?.id));
  await until('its sound, on the right', async () => {
    const [left, right] = await ada.evaluate((peer) => Boolean(window.visavis.streams(peer)?.main.getAudioTracks().length), peer)
      ? await channels(ada, peer) : [0, 0];
    return right > 0.05 && left < right / 10;
  });
  assert.deepEqual(ada.problems, []);
  await close(camera, ada);
});
