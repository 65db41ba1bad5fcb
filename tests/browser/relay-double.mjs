// A STUN and TURN server that refuses, over UDP.

import { createHash, createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const COOKIE = 0x2112a442;
const BINDING = 0x0001;
const ALLOCATE = 0x0003;

/** An attribute with its padding. */
function attribute(type, value) {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
}

/** 192.0.2.7:4000, as an address that a NAT has mapped. */
function mapped() {
  const value = Buffer.from([0, 1, 0, 0, 0, 0, 0, 0]);
  value.writeUInt16BE(4000 ^ (COOKIE >>> 16), 2);
  value.writeUInt32BE((0xc0000207 ^ COOKIE) >>> 0, 4);
  return attribute(0x0020, value);
}

function failure(code) {
  return attribute(0x0009, Buffer.concat([Buffer.from([0, 0, Math.floor(code / 100), code % 100]), Buffer.from('no')]));
}

/** The user that it knows. */
export const USER = { username: 'u', credential: 'p' };
const REALM = 'double';
const KEY = createHash('md5').update(`${USER.username}:${REALM}:${USER.credential}`).digest();

function message(request, kind, ...attributes) {
  const body = Buffer.concat(attributes);
  const head = Buffer.from(request.subarray(0, 20));
  head.writeUInt16BE(request.readUInt16BE(0) | kind, 0);
  head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, body]);
}

/** A message with MESSAGE-INTEGRITY, which is computed over a length that includes it (RFC 8489 section 14.5). */
function signed(unsigned) {
  const counted = Buffer.from(unsigned);
  counted.writeUInt16BE(unsigned.length - 20 + 24, 2);
  return Buffer.concat([counted, attribute(0x0008, createHmac('sha1', KEY).update(counted).digest())]);
}

/**
 * Answers Binding requests with an address, and Allocate requests with an error; without a code it answers no Allocate.
 *
 * @returns {Promise<{port: number, close: () => void}>}
 */
export async function relayDouble(code) {
  const socket = createSocket('udp4');
  // A test that fails does not close it.
  socket.unref();
  socket.on('message', (request, { port, address }) => {
    const type = request.readUInt16BE(0);
    const reply = (answer) => socket.send(answer, port, address);
    if (type === BINDING) return reply(message(request, 0x0100, mapped()));
    if (type !== ALLOCATE || !code) return;
    // The first request is asked for credentials, and has none.
    if (request.includes(REALM)) return reply(signed(message(request, 0x0110, failure(code))));
    reply(message(request, 0x0110, failure(401), attribute(0x0014, Buffer.from(REALM)), attribute(0x0015, Buffer.from('nonce'))));
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { port: socket.address().port, close: () => socket.close() };
}
