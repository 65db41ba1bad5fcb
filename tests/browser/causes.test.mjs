// Why a call fails, by name: in the call, and in the server's metrics.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { callCause, deviceCause } from '../../web/sdk/cause.js';
import { isRejected } from '../../web/sdk/evidence.js';
import { join, launch, mediaFlows, newPage, newRoom, Server, until, visit } from './harness.mjs';
import { relayDouble, USER } from './relay-double.mjs';

/** A connection to the media server that works. */
const WORKS = {
  server: true, https: true, toServer: true, waited: true, ice: true, was: true, dtls: 'connected', gathered: true, stun: false,
  asked: ['udp', 'tcp', 'tls'], relays: [], refused: [], udp: true, tcp: false, tcpOffered: true, tlsHere: true, heard: null,
  rejected: false, stopped: false, quality: null,
};
/** One that has found no path, on a network that lets UDP through. */
const NO_PATH = { ...WORKS, ice: false, was: false, dtls: 'new', relays: ['udp'], heard: 'none' };
/** One on a network that lets nothing but HTTP through. */
const BLOCKED = { ...NO_PATH, relays: [], udp: false, stun: true };

for (const [what, evidence, cause] of [
  ['all is well', WORKS, null],
  ['all is well, although the server is lost', { ...WORKS, server: false }, null],
  ['no path, and the server is lost', { ...NO_PATH, server: false }, 'server-unreachable'],
  ['a path may still be found', { ...NO_PATH, waited: false }, null],
  ['a relay may still answer', { ...NO_PATH, gathered: false }, null],
  ['HTTPS alone comes through', BLOCKED, 'tls-inspected'],
  ['HTTP alone comes through', { ...BLOCKED, https: false, tlsHere: false }, 'unknown'],
  ['the relay is on another port and does not answer', { ...BLOCKED, tlsHere: false }, 'unknown'],
  ['no UDP, and nothing else is offered', { ...BLOCKED, asked: ['udp'], tlsHere: false, tcpOffered: false }, 'udp-blocked'],
  ['no UDP, but TCP does not help either', { ...BLOCKED, asked: ['udp', 'tcp'], tlsHere: false, tcpOffered: false }, 'unknown'],
  ['no UDP, and a relay over TCP that does not help', { ...BLOCKED, relays: ['tcp'], toServer: false }, 'unknown'],
  ['the relay does not answer', { ...NO_PATH, toServer: false, relays: [] }, 'relay-unreachable'],
  ['there is no relay', { ...NO_PATH, toServer: false, relays: [], asked: [] }, 'unknown'],
  ['the relay is full', { ...NO_PATH, toServer: false, relays: [], refused: [486] }, 'relay-quota'],
  ['the relay has no capacity', { ...NO_PATH, toServer: false, relays: [], refused: [508] }, 'relay-quota'],
  ['the relay refuses', { ...NO_PATH, toServer: false, relays: [], refused: [403] }, 'relay-refused'],
  ['the relay takes no such credentials', { ...NO_PATH, relays: [], refused: [401] }, 'relay-refused'],
  ['one relay refuses, another does not', { ...NO_PATH, refused: [403], toServer: false }, 'unknown'],
  ['a relay refuses by a code that says nothing', { ...NO_PATH, relays: [], refused: [500] }, 'unknown'],
  ['nothing reaches the media server, not even from a relay', NO_PATH, 'wrong-external-address'],
  ['the same, and TCP is not offered', { ...NO_PATH, tcpOffered: false }, 'unknown'],
  ['the media server has received a check', { ...NO_PATH, heard: 'udp' }, 'unknown'],
  ['the media server was not asked', { ...NO_PATH, heard: null }, 'unknown'],
  ['a path that is gone', { ...NO_PATH, heard: 'udp', was: true }, 'media-stopped'],
  ['the handshake fails', { ...WORKS, dtls: 'failed' }, 'dtls-failed'],
  ['the handshake does not end', { ...WORKS, dtls: 'connecting' }, 'dtls-failed'],
  ['another handshake goes on', { ...WORKS, dtls: 'connecting', waited: false, handshakeFailed: true }, 'dtls-failed'],
  ['a handshake has failed, and another path is looked for', { ...NO_PATH, handshakeFailed: true }, 'dtls-failed'],
  ['the handshake goes on', { ...WORKS, dtls: 'connecting', waited: false }, null],
  ['no codec', { ...WORKS, rejected: true }, 'no-common-codec'],
  ['the sender is too slow', { ...WORKS, quality: 'sender' }, 'peer-network'],
  ['the own network is too slow', { ...WORKS, quality: 'own-network' }, 'own-network'],
  ['media stops', { ...WORKS, stopped: true }, 'media-stopped'],
  // Two at once: the one without which the other would not be seen.
  ['the handshake fails and media has stopped', { ...WORKS, dtls: 'failed', stopped: true }, 'dtls-failed'],
  ['TLS is inspected, and UDP is blocked with it', { ...BLOCKED, stun: true, asked: ['udp', 'tls'] }, 'tls-inspected'],
]) test(`the cause: ${what}`, () => assert.equal(callCause(evidence), cause));

test('devices', () => {
  assert.deepEqual(['denied', 'busy', 'missing', 'insecure', null].map((problem) => deviceCause('camera', problem)),
    ['camera-denied', 'camera-busy', 'no-camera', 'unknown', 'unknown']);
  assert.deepEqual(['denied', 'busy', 'missing'].map((problem) => deviceCause('microphone', problem)),
    ['microphone-denied', 'microphone-busy', 'no-microphone']);
});

test('a kind of media is refused only where the answer refuses what the offer offers', () => {
  const sdp = (...lines) => ['v=0', ...lines].join('\r\n');
  const offer = (...lines) => ({ type: 'offer', sdp: sdp(...lines) });
  const answer = (...lines) => ({ type: 'answer', sdp: sdp(...lines) });
  const [audio, video, none] = ['m=audio 9 UDP/TLS/RTP/SAVPF 111', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'm=video 0 UDP/TLS/RTP/SAVPF 96'];
  assert.equal(isRejected(offer(audio, video), answer(audio, video)), false);
  assert.equal(isRejected(offer(audio, video), answer(audio, none)), true);
  assert.equal(isRejected(answer(audio, none), offer(audio, video)), true);
  assert.equal(isRejected(offer(audio, none), answer(audio, none)), false);
  assert.equal(isRejected(offer(audio, none, 'a=bundle-only'), answer(audio, none)), true);
  assert.equal(isRejected(offer(audio, none), null), false);
});

let server;
let browser;
before(async () => {
  server = await Server.start('--metrics-listen', '127.0.0.1:0');
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

const reported = async (cause) => (await server.metrics())[`visavis_causes_total{cause="${cause}"}`];

/** Two in a mesh that find no path, with these STUN and TURN servers. */
async function withoutPath(iceServers) {
  const room = newRoom();
  const pages = [];
  for (const name of ['Ada', 'Grace']) {
    const page = await newPage(browser);
    await page.addInitScript((iceServers) => {
      const Original = window.RTCPeerConnection;
      window.RTCPeerConnection = class extends Original {
        constructor(configuration) {
          super({ ...configuration, iceServers });
        }
        setConfiguration() {}
        async addIceCandidate() {}
      };
    }, iceServers);
    await join(page, server.url, room, { name, topology: 'mesh' });
    pages.push(page);
  }
  return pages;
}

/** One in a room of the media server, whose descriptions are changed on the way. */
async function changed(prepare) {
  const page = await newPage(browser);
  await page.addInitScript(prepare);
  await join(page, server.url, newRoom(), { name: 'Ada', topology: 'sfu' });
  return page;
}

/** Waits for the cause on a tile or, with `own`, in the notice to the user. */
async function named(page, cause, { own = false } = {}) {
  const shown = page.locator(own ? '.banner[data-cause]:visible' : '[data-peer][data-cause]');
  let latest;
  const isThere = async () => (latest = await shown.first().getAttribute('data-cause', { timeout: 1_000 }).catch(() => null)) === cause;
  await until(`the cause ${cause}`, isThere).catch((error) => assert.fail(`${error.message}; there is ${latest}`));
  assert.match(await shown.first().textContent(), /\w+ \w+/, 'it is said in a sentence');
  await until('the count', async () => (await reported(cause)) > 0);
}

test('calls without a path', async () => {
  const full = await relayDouble(486);
  const strict = await relayDouble(403);
  const silent = await relayDouble();
  const turn = ({ port }) => [{ urls: `stun:127.0.0.1:${port}` }, { urls: `turn:127.0.0.1:${port}?transport=udp`, ...USER }];
  await Promise.all([
    ['relay-quota', turn(full)],
    ['relay-refused', turn(strict)],
    ['relay-unreachable', turn(silent)],
    ['unknown', []],
  ].map(async ([cause, iceServers]) => {
    const pages = await withoutPath(iceServers);
    await named(pages[1], cause);
    for (const page of pages) await page.context().close();
  }));
  for (const relay of [full, strict, silent]) relay.close();
});

test('the media server cannot be reached at its address, or not understood', async () => {
  await Promise.all([
    ['wrong-external-address', () => {
      const set = RTCPeerConnection.prototype.setRemoteDescription;
      RTCPeerConnection.prototype.setRemoteDescription = function moved({ type, sdp }) {
        return set.call(this, { type, sdp: sdp.replaceAll(/(a=candidate:\S+ 1 \w+ \d+) \S+/g, '$1 192.0.2.1') });
      };
    }],
    ['dtls-failed', () => {
      const set = RTCPeerConnection.prototype.setRemoteDescription;
      RTCPeerConnection.prototype.setRemoteDescription = function forged({ type, sdp }) {
        return set.call(this, { type, sdp: sdp.replaceAll(/(a=fingerprint:\S+) ../g, '$1 00') });
      };
    }],
    ['no-common-codec', () => {
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function foreign(data) {
        return send.call(this, typeof data === 'string' ? data.replaceAll(/(VP8|VP9|H264|AV1)\/90000/g, 'NONE/90000') : data);
      };
    }],
  ].map(async ([cause, prepare]) => {
    const page = await changed(prepare);
    await named(page, cause, { own: true });
    await page.context().close();
  }));
});

test('media stops, comes back, and is withheld; devices fail beside it', async () => {
  const denied = await launch({ devices: 'denied' });
  const room = newRoom();
  const ada = await newPage(browser);
  await join(ada, server.url, room, { name: 'Ada', topology: 'mesh' });
  // The second one has two faults at once: no devices, and no media from the other.
  const grace = await newPage(denied);
  await visit(grace, server.url, room, { name: 'Grace', topology: 'mesh' });
  await grace.locator('[data-cause~="camera-denied"][data-cause~="microphone-denied"]').waitFor();
  await grace.getByRole('button', { name: 'Join', exact: true }).click();
  await mediaFlows(grace, 1);
  const replace = (on) => ada.evaluate(async (on) => {
    window.kept ??= { replaceTrack: RTCRtpSender.prototype.replaceTrack, tracks: new Map() };
    const { replaceTrack, tracks } = window.kept;
    // The page would send its tracks again.
    RTCRtpSender.prototype.replaceTrack = on ? replaceTrack : async () => {};
    for (const connection of window.visavis.connections().values()) {
      for (const sender of connection.getSenders()) {
        if (!on) tracks.set(sender, sender.track);
        await replaceTrack.call(sender, on ? tracks.get(sender) ?? null : null);
      }
    }
  }, on);
  await replace(false);
  await named(grace, 'media-stopped');
  for (const cause of ['camera-denied', 'microphone-denied']) await until(cause, async () => (await reported(cause)) > 0);
  await replace(true);
  const clear = () => until('no cause', async () => (await grace.locator('[data-peer][data-cause]').count()) === 0);
  await clear();
  const quality = (reason, level) => grace.evaluate(([reason, level]) => {
    const { session, peers } = window.visavis;
    session.emit('event', { type: 'quality', peer: peers[0].id, level, reason });
  }, [reason, level]);
  await quality('own-network', 0);
  await named(grace, 'own-network');
  await quality('own-network', 4);
  await clear();
  await quality('sender', 0);
  await named(grace, 'peer-network');
  await clear();
  await denied.close();
  await ada.context().close();
});

test('the server is lost', async () => {
  const own = await Server.start('--metrics-listen', '127.0.0.1:0');
  const page = await newPage(browser);
  await join(page, own.url, newRoom(), { name: 'Ada' });
  await own.stop();
  await page.locator('.banner[data-cause="server-unreachable"]:visible').waitFor();
  await own.start();
  await until('the count', async () => (await own.metrics())['visavis_causes_total{cause="server-unreachable"}'] === 1);
  await page.context().close();
  await own.close();
});
