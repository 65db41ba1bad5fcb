// Which kind of NAT is between this machine and a server that does behaviour discovery (RFC 5780, section 4). Prints
// `mapping filtering`, each `independent`, `address` or `address-and-port`.
//
//   node discover.mjs SERVER PORT

import { randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import { once } from 'node:events';

const COOKIE = 0x2112a442;
const XOR_MAPPED_ADDRESS = 0x0020;
const OTHER_ADDRESS = 0x802c;
const CHANGE_ADDRESS = 4;
const CHANGE_PORT = 2;
/** How long an answer may take before the question is asked again. */
const RETRY_MS = 500;

/** A socket that asks, and keeps what was answered by transaction. */
class Asker {
  #socket = dgram.createSocket('udp4');
  #answers = new Map();

  static async open() {
    const asker = new Asker();
    asker.#socket.on('message', (message) => asker.#answers.set(message.toString('hex', 8, 20), message));
    asker.#socket.bind(0);
    await once(asker.#socket, 'listening');
    return asker;
  }

  /** Sends a Binding request and gives its transaction. */
  send({ address, port }, change = 0) {
    const request = Buffer.alloc(change ? 28 : 20);
    request.writeUInt16BE(1, 0);
    request.writeUInt16BE(request.length - 20, 2);
    request.writeUInt32BE(COOKIE, 4);
    randomBytes(12).copy(request, 8);
    if (change) {
      request.writeUInt16BE(0x0003, 20);
      request.writeUInt16BE(4, 22);
      request.writeUInt32BE(change, 24);
    }
    this.#socket.send(request, port, address);
    return request.toString('hex', 8, 20);
  }

  /** What the server answers to a plain request. */
  async ask(server) {
    for (;;) {
      const transaction = this.send(server);
      const since = performance.now();
      while (performance.now() - since < RETRY_MS) {
        const answer = this.#answers.get(transaction);
        if (answer) return { mapped: address(answer, XOR_MAPPED_ADDRESS), other: address(answer, OTHER_ADDRESS) };
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
  }

  /** Whether an answer from elsewhere comes through. The plain request that follows overtakes nothing: its answer says when to stop waiting. */
  async hearsFromElsewhere(server, change) {
    const transactions = [];
    for (let round = 0; round < 3; round++) {
      transactions.push(this.send(server, change));
      await this.ask(server);
    }
    return transactions.some((transaction) => this.#answers.has(transaction));
  }

  close() {
    this.#socket.close();
  }
}

function address(message, kind) {
  let at = 20;
  while (at + 4 <= message.length) {
    const [type, length] = [message.readUInt16BE(at), message.readUInt16BE(at + 2)];
    if (type === kind) {
      const isXor = kind === XOR_MAPPED_ADDRESS;
      const port = message.readUInt16BE(at + 6) ^ (isXor ? COOKIE >>> 16 : 0);
      const ip = (message.readUInt32BE(at + 8) ^ (isXor ? COOKIE : 0)) >>> 0;
      return { address: [24, 16, 8, 0].map((shift) => (ip >>> shift) & 255).join('.'), port };
    }
    at += 4 + ((length + 3) & ~3);
  }
  throw new Error('the server does no behaviour discovery');
}

const same = (a, b) => a.address === b.address && a.port === b.port;
const server = { address: process.argv[2], port: Number(process.argv[3]) };

// Section 4.3: the same port towards three of the server's addresses.
const mapper = await Asker.open();
const first = await mapper.ask(server);
const second = await mapper.ask({ address: first.other.address, port: server.port });
const third = await mapper.ask(first.other);
mapper.close();
const mapping = same(first.mapped, second.mapped) ? 'independent' : same(second.mapped, third.mapped) ? 'address' : 'address-and-port';

// Section 4.4: answers from where nothing was sent to. On a port of its own: the mapping test has opened the others.
const filterer = await Asker.open();
const independent = await filterer.hearsFromElsewhere(server, CHANGE_ADDRESS | CHANGE_PORT);
const sameAddress = await filterer.hearsFromElsewhere(server, CHANGE_PORT);
filterer.close();
console.log(mapping, independent ? 'independent' : sameAddress ? 'address' : 'address-and-port');
