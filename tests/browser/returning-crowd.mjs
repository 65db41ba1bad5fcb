// A crowd of sessions of the SDK, whose server is killed, or ended, and started again: when each of them is back. Prints
// a table; `tests/long/returning-crowd` runs it with a thousand sessions.
//
//     SESSIONS=1000 node returning-crowd.mjs

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { Session } from '../../web/sdk/session.js';
import { Server } from './harness.mjs';

const TRANSPORTS = ['websocket', 'sse', 'socketio'];
const ROOM = 10;
/** Joins under way at a time. */
const AT_ONCE = 20;
/** Within this time after the start, in milliseconds, all are back. */
const ALL_BACK_MS = 10_000;
const ARGUMENTS = ['--trusted-proxy', '127.0.0.1/32', '--no-turn', '--no-sfu'];

/** What the server refused: the errors that it sent, and its HTTP statuses. */
const refusals = [];

/** Every session has an address of its own, which a proxy in front of the server would tell. */
const address = (number) => `10.1.${number >> 8}.${number & 255}`;
const hostOf = (number) => `peer-${number}.localhost`;
/** The URL of the server itself, and the header with the client's address. */
function behindProxy(url) {
  const own = new URL(url);
  const headers = { 'X-Forwarded-For': address(Number(own.hostname.match(/\d+/)[0])) };
  own.hostname = '127.0.0.1';
  return { own, headers };
}

globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    const { own, headers } = behindProxy(url);
    super(own, protocols, { headers });
    this.addEventListener('message', ({ data }) => {
      const packet = String(data);
      if (packet.includes('"type":"error"')) refusals.push(packet);
    });
    this.on('unexpected-response', (_, { statusCode }) => refusals.push(`HTTP ${statusCode}`));
  }
};
const { fetch } = globalThis;
globalThis.fetch = async (url, options = {}) => {
  const { own, headers } = behindProxy(url);
  const response = await fetch(own, { ...options, headers: { ...options.headers, ...headers } });
  if (!response.ok) refusals.push(`HTTP ${response.status}`);
  return response;
};

/** A session, and what became of it. */
class Member {
  /** When it was back, by `performance.now`. */
  backAt = 0;
  #peer = '';
  #back = Promise.resolve();

  constructor(server, number) {
    const transports = [TRANSPORTS[number % TRANSPORTS.length]];
    this.number = number;
    this.session = new Session({ base: new URL(`http://${hostOf(number)}:${server.port}`), transports });
    this.session.on('ended', ({ reason }) => assert.equal(reason, 'left', `${number}`));
  }

  async join() {
    const welcome = await this.session.start({ room: `room-${Math.floor(this.number / ROOM)}`, name: `Peer ${this.number}`, topology: 'mesh' });
    this.#peer = welcome.self.id;
  }

  /** Waits for its return from now on. */
  expect() {
    this.#back = new Promise((resolve) => {
      const stop = this.session.on('welcome', (welcome) => {
        stop();
        this.backAt = performance.now();
        resolve(welcome);
      });
    });
  }

  async back() {
    const welcome = await this.#back;
    assert.deepEqual([welcome.resumed, welcome.self.id], [true, this.#peer], `${this.number} is who it was`);
  }
}

/**
 * @param {number} count
 * @param {(server: Server) => Promise<void>} end how the server ends
 * @returns {Promise<number[]>} milliseconds from the start of the next process to each return, the first one first
 */
export async function returns(count, end) {
  const server = await Server.start(...ARGUMENTS);
  const members = Array.from({ length: count }, (_, number) => new Member(server, number));
  try {
    for (let first = 0; first < count; first += AT_ONCE) {
      await Promise.all(members.slice(first, first + AT_ONCE).map((member) => member.join()));
    }
    for (const member of members) member.expect();
    await end(server);
    await server.start();
    const startedAt = performance.now();
    await Promise.all(members.map((member) => member.back()));
    assert.deepEqual(refusals, []);
    return members.map(({ backAt }) => backAt - startedAt).sort((one, other) => one - other);
  } finally {
    refusals.length = 0;
    for (const { session } of members) session.leave();
    await server.close();
  }
}

/** The greatest share of the crowd that is back within one tenth of the time that all of them need. */
export function densest(times) {
  const span = Math.max(times.at(-1) - times[0], 1);
  const most = times.map((start, first) => times.filter((time) => time >= start && time < start + span / 10).length);
  return Math.max(...most) / times.length;
}

export const ENDS = { killed: (server) => server.kill(), ended: (server) => server.stop() };

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const count = Number(process.env.SESSIONS ?? 1000);
  console.log('| the server is | sessions | first back | median | 95th percentile | last | most in a tenth of the time |');
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  for (const [how, end] of Object.entries(ENDS)) {
    const times = await returns(count, end);
    const at = (share) => `${Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))])} ms`;
    console.log(`| ${how} | ${count} | ${at(0)} | ${at(0.5)} | ${at(0.95)} | ${at(1)} | ${Math.round(densest(times) * 100)} % |`);
    assert.ok(times.at(-1) <= ALL_BACK_MS, 'all are back within ten seconds');
    assert.ok(densest(times) < 0.5, 'they come back one after the other');
  }
  process.exit(0);
}
