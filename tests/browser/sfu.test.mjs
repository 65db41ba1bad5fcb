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

  /** One media server's end of one client. A media server belongs to an epoch. */
  class Port {
    publish = null;
    subscribe = null;
    negotiation = 0;
    outstanding = false;
    stale = false;
    received = new Map();
    sections = new Map();

    constructor(client, epoch) {
      this.client = client;
      this.epoch = epoch;
    }

    /** The ports of the other clients at the same media server. */
    get others() {
      return [...clients.values()].filter((other) => other !== this.client).map((other) => other.port(this.epoch));
    }

    say(body) {
      queueMicrotask(() => this.client.path.signal('sfu', JSON.parse(JSON.stringify({ ...body, epoch: this.epoch }))));
    }

    /** A media server has its candidates in its descriptions. */
    async gathered(connection) {
      if (connection.iceGatheringState !== 'complete') {
        await new Promise((resolve) => connection.addEventListener('icegatheringstatechange', () => connection.iceGatheringState === 'complete' && resolve()));
      }
      return connection.localDescription;
    }

    async hear(message) {
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
      for (const { mid, source, kind } of this.client.announced) {
        const line = this.publish.getTransceivers().find((each) => each.mid === mid);
        if (line) this.received.set(`${this.client.id}-${mid}`, { source, kind, track: line.receiver.track });
      }
      for (const other of this.others) await other.offer();
    }

    async offer(again = false) {
      if (this.outstanding && !again) return void (this.stale = true);
      this.stale = false;
      this.outstanding = true;
      this.subscribe ??= new RTCPeerConnection();
      const wanted = new Map(this.others
        .flatMap(({ received, client }) => [...received].map(([track, about]) => [track, { ...about, peer: client.id }])));
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
      for (const { received, client } of [this, ...this.others]) {
        const theirs = [...received].map(([track, { source, kind }]) => ({ track, source, kind }));
        client.view = { ...client.view, tracks: theirs };
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
    announced = [];
    ports = new Map();
    tail = Promise.resolve();

    constructor(id) {
      this.id = id;
      this.view = { id, role: 'participant', microphone: true, camera: true, screen: false, tracks: [] };
      this.media = new LocalMedia();
      clients.set(id, this);
    }

    port(epoch) {
      if (!this.ports.has(epoch)) this.ports.set(epoch, new Port(this, epoch));
      return this.ports.get(epoch);
    }

    async hear(message) {
      if (message.type === 'publish') this.announced = message.tracks;
      if (message.type === 'signal') await this.port(message.epoch).hear(message);
    }

    open(topology, epoch, moves = true) {
      this.path?.close();
      this.path = new MediaPath(topology, epoch, {
        self: this.view,
        media: this.media,
        layers: false,
        moves,
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
          } else this.tail = this.tail.then(() => this.hear(JSON.parse(JSON.stringify(message)))).catch(console.error);
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
}

const look = (who, whom) => page.evaluate(([a, b]) => window.clients.get(a).look(b), [who, whom]);
/** Begins a change of all clients, and waits until all have reported media on the new path. */
const prepare = async (topology, epoch) => {
  await page.evaluate(([to, number]) => {
    for (const client of window.clients.values()) client.path.prepare(to, number);
  }, [topology, epoch]);
  await until(`both are ready for ${topology} ${epoch}`, () => page.evaluate((number) =>
    [...window.clients.values()].every(({ sent }) => sent.some(({ type, epoch, ready }) => type === 'topology' && epoch === number && ready)), epoch));
};
const settle = (topology, epoch) => page.evaluate(([to, number]) => {
  for (const client of window.clients.values()) client.path.settle(to, number);
}, [topology, epoch]);
/** Keeps the connections of all clients, to see what becomes of them. */
const remember = () => page.evaluate(() => {
  window.former = [...window.clients.values()].flatMap(({ path }) => [...path.connections().values()]);
});
const formerStates = () => page.evaluate(() => [...new Set(window.former.map(({ connectionState }) => connectionState))]);
/** Whether all clients use the connections that were remembered. */
const isUnchanged = () => page.evaluate(() =>
  [...window.clients.values()].flatMap(({ path }) => [...path.connections().values()]).every((connection) => window.former.includes(connection)));
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
  await prepare('sfu', 2);
  assert.equal((await look('ada', 'grace')).topology, 'mesh', 'the old path carries media until the room has settled');
  await growing('ada', 'grace', 'main');
  await settle('sfu', 2);
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
      client.port(2).forget();
      client.ports.delete(2);
    }
    // What a snapshot with a gap makes of it.
    for (const client of window.clients.values()) client.path.repair();
  });
  await growing('ada', 'grace', 'main');
  await growing('grace', 'ada', 'main');
});

test('from one media server to another, without a gap', async () => {
  await remember();
  await prepare('sfu', 3);
  assert.ok(await isUnchanged(), 'the old path carries media until the room has settled');
  await growing('ada', 'grace', 'main');
  await settle('sfu', 3);
  assert.deepEqual(await formerStates(), ['closed']);
  const states = await page.evaluate(() => [...window.clients.values()].flatMap(({ path }) => [...path.connections().values()].map(({ connectionState }) => connectionState)));
  assert.deepEqual(states, Array(4).fill('connected'), 'the new path was established before');
  await page.evaluate(() => {
    for (const client of window.clients.values()) client.port(2).forget();
  });
  await growing('ada', 'grace', 'main');
  await growing('grace', 'ada', 'main');
});

test('a move that is called off leaves the path as it is', async () => {
  await remember();
  await prepare('sfu', 4);
  await settle('sfu', 3);
  assert.ok(await isUnchanged());
  await growing('ada', 'grace', 'main');
});

test('after the death of a media server the other is used at once', async () => {
  await remember();
  await page.evaluate(() => {
    for (const client of window.clients.values()) client.port(3).forget();
  });
  await settle('sfu', 5);
  assert.deepEqual(await formerStates(), ['closed']);
  await growing('ada', 'grace', 'main');
  await growing('grace', 'ada', 'main');
});

test('back from the server to peer to peer', async () => {
  await prepare('mesh', 6);
  await settle('mesh', 6);
  assert.equal((await look('ada', 'grace')).topology, 'mesh');
  await growing('ada', 'grace', 'main');
  await growing('grace', 'ada', 'main');
});

test('a mesh, and the path of a server whose media never moves, outlive their epoch', async () => {
  await remember();
  await prepare('mesh', 7);
  await settle('mesh', 7);
  assert.ok(await isUnchanged());

  await page.evaluate(() => {
    for (const client of window.clients.values()) client.open('sfu', 1, false);
  });
  await growing('ada', 'grace', 'main');
  await growing('grace', 'ada', 'main');
  const epochs = await page.evaluate(() => [...window.clients.values()].flatMap(({ ports }) => [...ports.keys()].filter((epoch) => epoch === undefined || epoch === 1)));
  assert.deepEqual(epochs, [undefined, undefined], 'such a server hears nothing of epochs');
  await remember();
  await prepare('sfu', 8);
  await settle('sfu', 8);
  assert.ok(await isUnchanged());
  await growing('ada', 'grace', 'main');
  assert.deepEqual(page.problems, []);
});
