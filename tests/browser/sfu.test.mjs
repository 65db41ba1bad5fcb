// The SDK's half of a call through a media server, against a server that is played by peer connections in the page: it
// answers what clients publish, and offers to each what the others publish.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, newPage, Server, until } from './harness.mjs';

let server;
let browser;
let page;
before(async () => {
  server = await Server.start();
  browser = await launch();
  page = await newPage(browser);
  await page.goto(server.url);
  await page.evaluate(setUp);
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Runs in the page: two clients and a media server between them. */
async function setUp() {
  const { LocalMedia, MediaPath } = await import('/sdk/index.js');
  const clients = new Map();

  /** The server's end of one client. */
  class Port {
    publish = null;
    subscribe = null;
    negotiation = 0;
    outstanding = false;
    stale = false;
    announced = [];
    received = new Map();
    sections = new Map();

    constructor(client) {
      this.client = client;
    }

    say(body) {
      queueMicrotask(() => this.client.path.signal('sfu', JSON.parse(JSON.stringify(body))));
    }

    /** A media server has its candidates in its descriptions. */
    async gathered(connection) {
      if (connection.iceGatheringState !== 'complete') {
        await new Promise((resolve) => connection.addEventListener('icegatheringstatechange', () => connection.iceGatheringState === 'complete' && resolve()));
      }
      return connection.localDescription;
    }

    async hear(message) {
      if (message.type === 'publish') this.announced = message.tracks;
      if (message.type !== 'signal') return;
      const { pc, description, candidate, negotiation, restart } = message;
      if (candidate) return void (await this[pc]?.addIceCandidate(candidate.candidate ? candidate : undefined).catch(() => {}));
      if (restart) return this.offer(true);
      if (pc === 'subscribe' && description) {
        if (negotiation !== this.negotiation) return;
        await this.subscribe.setRemoteDescription(description);
        this.outstanding = false;
        if (this.stale) await this.offer();
      }
      if (pc === 'publish' && description) await this.published(description, negotiation);
    }

    async published(description, negotiation) {
      // Another connection of the client: what was known of the former is worth nothing.
      const origin = /^o=\S+ (\S+)/m.exec(description.sdp)[1];
      if (this.publish && origin !== this.origin) {
        this.publish.close();
        this.publish = null;
      }
      this.origin = origin;
      this.publish ??= new RTCPeerConnection();
      await this.publish.setRemoteDescription(description);
      await this.publish.setLocalDescription();
      this.say({ pc: 'publish', description: await this.gathered(this.publish), negotiation });
      this.received = new Map();
      for (const { mid, source, kind } of this.announced) {
        const line = this.publish.getTransceivers().find((each) => each.mid === mid);
        if (line) this.received.set(`${this.client.id}-${mid}`, { source, kind, track: line.receiver.track });
      }
      for (const other of clients.values()) if (other !== this.client) await other.port.offer();
    }

    async offer(again = false) {
      if (this.outstanding && !again) return void (this.stale = true);
      this.stale = false;
      this.outstanding = true;
      this.subscribe ??= new RTCPeerConnection();
      const wanted = new Map([...clients.values()].filter((other) => other !== this.client)
        .flatMap(({ port, id }) => [...port.received].map(([track, about]) => [track, { ...about, peer: id }])));
      for (const [track, { track: media }] of wanted) {
        const line = this.sections.get(track);
        if (!line) this.sections.set(track, this.subscribe.addTransceiver(media, { direction: 'sendonly' }));
        else if (line.sender.track !== media) await line.sender.replaceTrack(media);
      }
      for (const [track, line] of this.sections) line.direction = wanted.has(track) ? 'sendonly' : 'inactive';
      if (this.sections.size === 0) return void (this.outstanding = false);
      await this.subscribe.setLocalDescription(await this.subscribe.createOffer({ iceRestart: again }));
      const description = await this.gathered(this.subscribe);
      const tracks = [...wanted].map(([track, { peer }]) => ({ mid: this.sections.get(track).mid, track, peer }));
      for (const other of clients.values()) {
        const theirs = [...other.port.received].map(([track, { source, kind }]) => ({ track, source, kind }));
        other.view = { ...other.view, tracks: theirs };
      }
      this.negotiation += 1;
      this.say({ pc: 'subscribe', description, negotiation: this.negotiation, tracks });
      this.client.path.refresh();
    }

    forget() {
      this.publish?.close();
      this.subscribe?.close();
    }
  }

  class Client {
    sent = [];
    tail = Promise.resolve();

    constructor(id) {
      this.id = id;
      this.view = { id, role: 'participant', microphone: true, camera: true, screen: false, tracks: [] };
      this.media = new LocalMedia();
      this.port = new Port(this);
      clients.set(id, this);
    }

    open(topology, epoch) {
      this.path = new MediaPath(topology, epoch, {
        self: this.view,
        media: this.media,
        layers: false,
        isRecorded: () => false,
        troubled: () => {},
        iceServers: () => [],
        peer: (id) => clients.get(id)?.view,
        peers: () => [...clients.values()].filter(({ id }) => id !== this.id).map(({ view }) => view),
        send: (message) => {
          this.sent.push(message);
          if (message.to && message.to !== 'sfu') {
            const { to, ...body } = JSON.parse(JSON.stringify(message));
            queueMicrotask(() => clients.get(to).path.signal(this.id, body));
          } else this.tail = this.tail.then(() => this.port.hear(JSON.parse(JSON.stringify(message)))).catch(console.error);
        },
        changed: () => {},
      });
    }

    /** What of the other one arrives. */
    async look(id) {
      const streams = this.path.streams(id);
      const frames = {};
      for (const connection of this.path.connections().values()) {
        for (const report of (await connection.getStats()).values()) {
          if (report.type === 'inbound-rtp' && report.kind === 'video') frames[report.trackIdentifier] = report.framesDecoded;
        }
      }
      const of = (stream) => stream?.getVideoTracks().map((track) => frames[track.id] ?? 0);
      return { topology: this.path.topology, main: of(streams?.main), audio: streams?.main.getAudioTracks().length, screen: of(streams?.screen) };
    }
  }

  for (const id of ['ada', 'grace']) await new Client(id).media.open({ microphone: true, camera: true });
  window.clients = clients;
  window.Port = Port;
}

const look = (who, whom) => page.evaluate(([a, b]) => window.clients.get(a).look(b), [who, whom]);
const growing = async (who, whom, part) => {
  const before = (await look(who, whom))[part]?.[0] ?? 0;
  await until(`${who} decodes ${part} of ${whom}`, async () => ((await look(who, whom))[part]?.[0] ?? 0) > before + 3);
};

test('from peer to peer over to the server, without a gap', async () => {
  await page.evaluate(() => {
    for (const client of window.clients.values()) client.open('mesh', 1);
    window.clients.get('ada').path.add('grace', true);
    window.clients.get('grace').path.add('ada', false);
  });
  await growing('ada', 'grace', 'main');
  await growing('grace', 'ada', 'main');
  await page.evaluate(() => {
    for (const client of window.clients.values()) client.path.prepare('sfu', 2);
  });
  await until('both are ready for the server', () =>
    page.evaluate(() => [...window.clients.values()].every(({ sent }) => sent.some(({ type, epoch, ready }) => type === 'topology' && epoch === 2 && ready))));
  assert.equal((await look('ada', 'grace')).topology, 'mesh', 'the old path carries media until the room has settled');
  await growing('ada', 'grace', 'main');
  await page.evaluate(() => {
    for (const client of window.clients.values()) client.path.settle('sfu', 2);
  });
  assert.deepEqual({ ...(await look('ada', 'grace')), main: 1, screen: null }, { topology: 'sfu', main: 1, audio: 1, screen: null });
  await growing('ada', 'grace', 'main');
  await growing('grace', 'ada', 'main');
});

test('published tracks are announced, and a screen is distinguished from a camera', async () => {
  const announced = await page.evaluate(() => window.clients.get('ada').sent.findLast(({ type }) => type === 'publish').tracks.map(({ source, kind }) => `${source} ${kind}`));
  assert.deepEqual(announced, ['microphone audio', 'camera video']);
  await page.evaluate(async () => {
    const { media } = window.clients.get('ada');
    const canvas = document.createElement('canvas');
    canvas.width = 320;
    canvas.height = 200;
    const context = canvas.getContext('2d');
    window.painting = setInterval(() => {
      context.fillStyle = `hsl(${performance.now() % 360} 80% 50%)`;
      context.fillRect(0, 0, 320, 200);
    }, 50);
    media.screen = canvas.captureStream(15).getVideoTracks()[0];
    media.emit('change');
  });
  await growing('grace', 'ada', 'screen');
  await growing('grace', 'ada', 'main');
  await page.evaluate(() => {
    clearInterval(window.painting);
    window.clients.get('ada').media.stopScreen();
  });
  await until('the screen is gone', async () => (await look('grace', 'ada')).screen === undefined);
  await growing('grace', 'ada', 'main');
});

test('a server that has lost its state gets everything again', async () => {
  await page.evaluate(() => {
    for (const client of window.clients.values()) {
      client.port.forget();
      client.port = new window.Port(client);
    }
    // What a snapshot with a gap makes of it.
    for (const client of window.clients.values()) client.path.repair();
  });
  await growing('ada', 'grace', 'main');
  await growing('grace', 'ada', 'main');
});

test('back from the server to peer to peer', async () => {
  await page.evaluate(() => {
    for (const client of window.clients.values()) client.path.prepare('mesh', 3);
  });
  await until('both are ready', () =>
    page.evaluate(() => [...window.clients.values()].every(({ sent }) => sent.some(({ type, epoch }) => type === 'topology' && epoch === 3))));
  await page.evaluate(() => {
    for (const client of window.clients.values()) client.path.settle('mesh', 3);
  });
  assert.equal((await look('ada', 'grace')).topology, 'mesh');
  await growing('ada', 'grace', 'main');
  await growing('grace', 'ada', 'main');
  assert.deepEqual(page.problems, []);
});
