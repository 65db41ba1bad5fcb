// A STUN and TURN server that refuses, over UDP.

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
    const isBinding = type === BINDING;
    if (!isBinding && !(type === ALLOCATE && code)) return;
    const body = isBinding ? mapped() : failure(code);
    const head = Buffer.from(request.subarray(0, 20));
    head.writeUInt16BE(type | (isBinding ? 0x0100 : 0x0110), 0);
    head.writeUInt16BE(body.length, 2);
    socket.send(Buffer.concat([head, body]), port, address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { port: socket.address().port, close: () => socket.close() };
}
