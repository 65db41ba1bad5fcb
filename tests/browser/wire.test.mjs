// The wire of the labs: what it delays, holds back and loses, by the times at which packets leave it.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { addNamespace, build, Wire } from '../lab/wire.mjs';

const skip = process.getuid() !== 0 ? 'namespaces need root' : !existsSync('/dev/net/tun') && 'there are no TAP devices';
const [NEAR, FAR] = ['near', 'far'].map((name) => `wire${process.pid}-${name}`);
/** Ethernet, IPv4 and UDP, beside 1,000 bytes of content. */
const BYTES = 1042;
/** The number of a packet that is sent after the others. */
const LAST = 60_000;

const inside = (space, script, ...words) => spawn('ip', ['netns', 'exec', space, process.execPath, '-e', script, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
/** Prints the number of each packet that arrives, and when. */
const RECEIVE = `const socket = require('dgram').createSocket('udp4');
  socket.on('message', (message) => console.log(message.readUInt16BE(2), performance.timeOrigin + performance.now()));
  socket.bind(5000, () => console.log('bound'));`;
/** Sends so many packets, so many milliseconds apart. */
const SEND = `const socket = require('dgram').createSocket('udp4');
  const [count, first = 0] = process.argv.slice(1).map(Number);
  (async () => {
    for (let number = 0; number < count; number += 1) {
      const packet = Buffer.alloc(1000);
      packet.writeUInt16BE(0x8060, 0);
      packet.writeUInt16BE(first + number, 2);
      await new Promise((sent) => socket.send(packet, 5000, '10.98.0.2', sent));
    }
    socket.close();
  })();`;

/** What becomes of packets over a link, by the wire's record and by the receiver. */
async function sent(t, link, count) {
  const folder = mkdtempSync(path.join(tmpdir(), 'visavis-wire-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const space of [NEAR, FAR]) {
    addNamespace(space);
    t.after(() => execFileSync('ip', ['netns', 'delete', space]));
  }
  const wire = await Wire.between(build(folder), { log: path.join(folder, 'log'), seed: 1, network: '10.98.0', near: NEAR, far: FAR, name: 'wire' });
  const receiver = inside(FAR, RECEIVE);
  t.after(() => receiver.kill());
  const lines = createInterface({ input: receiver.stdout });
  await once(lines, 'line');
  const arrived = new Map();
  lines.on('line', (line) => {
    const [number, at] = line.split(' ').map(Number);
    arrived.set(number, at);
  });
  // Packets that wait for the other side's hardware address would be dropped before they come to the wire.
  wire.set({ there: {} });
  await once(inside(NEAR, SEND, '1'), 'exit');
  if (!arrived.has(0)) await once(lines, 'line');
  wire.set({ there: link });
  await once(inside(NEAR, SEND, String(count)), 'exit');
  // Nothing overtakes on a wire, so this is the last one to arrive.
  wire.set({ there: { ...link, loss: 0 } });
  while (!arrived.has(LAST)) {
    await once(inside(NEAR, SEND, '1', String(LAST)), 'exit');
    await new Promise((passed) => setTimeout(passed, 50));
  }
  arrived.delete(LAST);
  const packets = (await wire.close()).filter(({ way, bytes, sequence }) => way === 'there' && bytes === BYTES && sequence !== LAST);
  const fates = new Map(packets.map(({ sequence, fate }) => [sequence, fate]));
  assert.ok([...arrived.keys()].every((number) => fates.get(number) === 'passed'), 'what is dropped does not arrive');
  return { packets: packets.slice(1), arrived };
}

test('a full queue drops, and what is in it waits for the rate and the delay', { skip }, async (t) => {
  const { packets, arrived } = await sent(t, { rate: 1000, queue: 100, delay: 30 }, 200);
  const passed = packets.filter(({ fate }) => fate === 'passed');
  assert.equal(packets.length, 200);
  assert.equal(packets.filter(({ fate }) => fate === 'full').length, 200 - passed.length);
  // 100 ms are 12 packets; more pass while the burst is being sent.
  assert.ok(passed.length >= 12 && passed.length < 150, `${passed.length} passed`);
  const transmission = BYTES * 8 / 1000;
  assert.ok(passed.some(({ wait }) => wait > 80) && passed.every(({ wait }) => wait < 100 + 2 * transmission), 'the queue is as long as it should be');
  // The receiver may have to drop some, on a busy machine.
  const received = passed.filter(({ sequence }) => arrived.has(sequence));
  assert.ok(received.length > 0);
  for (const { at, wait, sequence } of received) {
    const took = arrived.get(sequence) - at;
    assert.ok(took > wait + transmission + 30 - 1, `${took} ms after a wait of ${wait}`);
  }
});

test('a share of the packets is lost', { skip }, async (t) => {
  const { packets } = await sent(t, { loss: 200 }, 1000);
  const lost = packets.filter(({ fate }) => fate === 'lost').length;
  assert.equal(packets.length, 1000);
  assert.ok(lost > 140 && lost < 260, `${lost} of 1000 lost`);
  assert.ok(packets.every(({ fate, wait }) => fate === 'lost' || wait === 0), 'nothing waits');
});
