// The official Socket.IO client, without a browser: the same messages, by long polling, by WebSocket and from one to
// the other, and resuming.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { io } from 'socket.io-client';
import { newRoom, PATIENCE_MS, Server, until } from './harness.mjs';

/** A client that keeps what it is told, in order. */
class Client {
  events = [];
  lastId = 0;
  #waiting = new Set();

  constructor(url, options) {
    this.socket = io(url, { forceNew: true, reconnection: false, ...options });
    this.socket.on('message', (event) => {
      if (event.type === 'ping') return;
      this.#note(event);
      this.events.push(event);
      for (const look of this.#waiting) look();
    });
    this.ended = once(this.socket, 'disconnect').then(([reason]) => reason);
  }

  /** Sends a message; its answer comes as the acknowledgement. */
  async ask(message) {
    const answer = await this.socket.timeout(PATIENCE_MS).emitWithAck('message', message);
    if (answer.type === 'welcome') this.#note(answer);
    return answer;
  }

  /** Takes the next event of a type out of those that came. */
  async next(type) {
    for (;;) {
      const at = this.events.findIndex((event) => event.type === type);
      if (at >= 0) return this.events.splice(0, at + 1).at(-1);
      await new Promise((resolve) => {
        const look = () => (this.#waiting.delete(look), resolve());
        this.#waiting.add(look);
      });
    }
  }

  #note(event) {
    const id = event.id ?? (event.type === 'welcome' || event.type === 'snapshot' ? event.lastId : undefined);
    if (id === undefined) return;
    if (event.id !== undefined) assert.ok(event.id > this.lastId, `${event.id} after ${this.lastId}`);
    this.lastId = id;
  }

  close() {
    this.socket.disconnect();
  }
}

const join = (room, name) => ({ type: 'join', room, name, topology: 'mesh' });
const resume = ({ session, secret }, lastId) => ({ type: 'resume', session, secret, lastId });

let server;
before(async () => {
  server = await Server.start();
});
after(() => server?.close());

for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
  test(`${transports.join(' and then ')}: a room, its answers and its events`, { timeout: PATIENCE_MS }, async () => {
    const room = newRoom();
    const ada = new Client(server.url, { transports });
    const welcome = await ada.ask(join(room, 'Ada'));
    assert.equal(welcome.type, 'welcome');
    assert.ok(welcome.features.includes('socketio'));
    const bob = new Client(server.url, { transports });
    const bobs = await bob.ask(join(room, 'Bob'));
    assert.equal(bobs.peers[0].id, welcome.self.id);
    assert.equal((await ada.next('peer-joined')).peer.name, 'Bob');

    const description = { type: 'offer', sdp: 'v=0\r\n' };
    const signal = { type: 'signal', to: bobs.self.id, epoch: 1, description, seq: 1 };
    assert.deepEqual(await ada.ask(signal), { type: 'ack', seq: 1 });
    assert.deepEqual((await bob.next('signal')).description, description);
    assert.deepEqual(await ada.ask({ type: 'chat', text: 'ünïcödé \u{1f44b}' }), { type: 'ack' });
    assert.equal((await bob.next('chat')).text, 'ünïcödé \u{1f44b}');
    assert.equal((await ada.ask({ type: 'ping', t: 'x' })).t, 'x');
    assert.equal((await ada.ask({ type: 'dance', seq: 2 })).code, 'unknown-message');
    assert.equal((await bob.ask({ type: 'host', action: 'end' })).code, 'forbidden');
    assert.equal((await ada.ask({ type: 'chat', text: Buffer.from('bytes') })).code, 'bad-request');
    // Without an acknowledgement the answer is an event.
    ada.socket.emit('message', { type: 'chat', text: 'quietly', seq: 3 });
    assert.equal((await ada.next('ack')).seq, 3);
    assert.equal((await bob.next('chat')).text, 'quietly');
    for (let seq = 4; seq <= 60; seq += 1) bob.socket.emit('message', { type: 'chat', text: String(seq), seq });
    for (let seq = 4; seq <= 60; seq += 1) assert.equal((await ada.next('chat')).text, String(seq));

    assert.equal((await bob.ask({ type: 'leave' })).type, 'ack');
    assert.equal(await bob.ended, 'io server disconnect');
    assert.equal((await ada.next('peer-left')).reason, 'left');
    ada.close();
  });
}

test('a client loses no message in either direction while it upgrades to a WebSocket', { timeout: PATIENCE_MS }, async () => {
  const room = newRoom();
  const ada = new Client(server.url, { transports: ['websocket'] });
  await ada.ask(join(room, 'Ada'));
  for (let turn = 0; turn < 20; turn += 1) {
    const bob = new Client(server.url);
    await bob.ask(join(room, 'Bob'));
    const texts = [0, 1, 2, 3, 4].map((n) => `${turn} ${n}`);
    const said = texts.map(async (text, n) => {
      await new Promise((resolve) => setTimeout(resolve, n * 2));
      return Promise.all([bob.ask({ type: 'chat', text: `bob ${text}` }), ada.ask({ type: 'chat', text: `ada ${text}` })]);
    });
    for (const answers of await Promise.all(said)) assert.deepEqual(answers, [{ type: 'ack' }, { type: 'ack' }]);
    await until('the change', () => bob.socket.io.engine.transport.name === 'websocket');
    assert.equal((await bob.ask({ type: 'chat', text: `bob ${turn} last` })).type, 'ack');
    for (const client of [ada, bob]) {
      const heard = [];
      while (heard.at(-1) !== `bob ${turn} last`) {
        const { text } = await client.next('chat');
        if (text.split(' ')[1] === String(turn)) heard.push(text);
      }
      for (const who of ['ada', 'bob']) {
        const theirs = heard.filter((text) => text.startsWith(who) && !text.endsWith('last'));
        assert.deepEqual(theirs, texts.map((text) => `${who} ${text}`));
      }
    }
    bob.close();
  }
  ada.close();
});

test('a session goes from one transport of the client to the other', { timeout: PATIENCE_MS }, async () => {
  const room = newRoom();
  const ada = new Client(server.url, { transports: ['websocket'] });
  await ada.ask(join(room, 'Ada'));
  let bob = new Client(server.url, { transports: ['polling'] });
  const session = await bob.ask(join(room, 'Bob'));
  for (const [turn, transports] of [['websocket'], ['polling'], ['polling', 'websocket'], ['websocket']].entries()) {
    const { lastId } = bob;
    // Every other time the old transport is still there, and is told.
    if (turn % 2 === 0) bob.close();
    await ada.ask({ type: 'chat', text: `missed ${turn}` });
    const next = new Client(server.url, { transports });
    const welcome = await next.ask(resume(session, lastId));
    assert.equal(welcome.resumed, true, JSON.stringify(welcome));
    assert.equal(welcome.self.id, session.self.id);
    assert.equal((await next.next('chat')).text, `missed ${turn}`);
    if (turn % 2 === 1) {
      assert.equal((await bob.next('error')).code, 'session-replaced');
      assert.equal(await bob.ended, 'io server disconnect');
    }
    await ada.ask({ type: 'chat', text: `heard ${turn}` });
    assert.equal((await next.next('chat')).text, `heard ${turn}`);
    bob = next;
  }
  bob.close();
  ada.close();
});

test('a session that is refused finally is closed', { timeout: PATIENCE_MS }, async () => {
  const stranger = new Client(server.url);
  assert.equal((await stranger.ask({ type: 'chat', text: 'let me in' })).code, 'unauthorized');
  assert.equal(await stranger.ended, 'io server disconnect');
  const thief = new Client(server.url);
  const made = await thief.ask({ type: 'resume', session: 'A'.repeat(22), secret: 'made-up', lastId: 0 });
  assert.equal(made.type, 'error');
  thief.close();
});

for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
  test(`${transports.join(' and then ')}: everybody hears that the server goes away, and is back by themselves when it is`, { timeout: PATIENCE_MS }, async () => {
    const short = await Server.start();
    const ada = new Client(short.url, { transports, reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200 });
    const session = await ada.ask(join(newRoom(), 'Ada'));
    if (transports.length > 1) await until('the change', () => ada.socket.io.engine.transport.name === 'websocket');
    await short.stop();
    assert.ok((await ada.next('going-away')).reconnectAfterMs >= 0);
    assert.match(await ada.ended, /^transport/);
    // The client tries by itself, and may be back before the server has told that it is.
    const back = once(ada.socket, 'connect');
    await short.start();
    await back;
    assert.equal((await ada.ask(resume(session, ada.lastId))).self.id, session.self.id);
    ada.close();
    await short.close();
  });
}
