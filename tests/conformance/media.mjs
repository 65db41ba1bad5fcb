// A client's ICE and the beginning of its DTLS, over one UDP socket: a connectivity check to each candidate of the answer until
// one answers, then a ClientHello, until the certificate of the server has come. Nothing is encrypted up to there (DTLS 1.2), so
// it takes no library.

import { createHash, createHmac, getHashes, randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import { isIP } from 'node:net';
import { crc32 } from './crc32.mjs';

const RETRANSMISSION_MS = 200;

/**
 * Connects to the server of an answer, for as many attempts at ICE, and as many at DTLS. What comes of it is `{ obstacle }` if there is nothing to try, otherwise `ice`, and `dtls`
 * (or `why` there is none).
 */
export async function connect({ ice: local }, description, attempts) {
  const section = description.accepted[0];
  if (!section) return { obstacle: 'no section is accepted' };
  const remote = { ufrag: description.of(section, 'ice-ufrag'), pwd: description.of(section, 'ice-pwd') };
  if (!remote.ufrag || !remote.pwd) return { obstacle: 'the answer has no credentials' };
  const candidates = [description.session, ...description.sections].flatMap((one) => one.all('candidate')).map((value) => value.split(' '));
  const reachable = candidates
    .filter(([, component, transport, , address]) => component === '1' && transport?.toLowerCase() === 'udp' && isIP(address))
    .map(([, , , , address, port]) => ({ address, port: Number(port) }));
  if (reachable.length === 0) return { obstacle: 'the answer has no candidate over UDP with an address' };

  const path = await Path.open({ local, remote, candidates: reachable, attempts });
  if (!path) return { ice: `none of ${reachable.map(({ address, port }) => `${address} port ${port}`).join(', ')} has answered`, why: 'without ICE there is no DTLS' };
  try {
    const setup = description.of(section, 'setup');
    if (setup !== 'passive') return { ice: 'answered', why: `the server is the DTLS client: setup:${setup}` };
    return { ice: 'answered', dtls: await fingerprintMatches(path, description.of(section, 'fingerprint') ?? '') };
  } finally {
    path.close();
  }
}

// --- STUN (RFC 8489)

const MAGIC = Buffer.from([0x21, 0x12, 0xa4, 0x42]);
const REQUEST = 0x0001;
const SUCCESS = 0x0101;
const USERNAME = 0x0006;
const MESSAGE_INTEGRITY = 0x0008;
const XOR_MAPPED_ADDRESS = 0x0020;
const PRIORITY = 0x0024;
const USE_CANDIDATE = 0x0025;
const FINGERPRINT = 0x8028;
const ICE_CONTROLLING = 0x802a;
const HEADER = 20;

const u16 = (value) => Buffer.from([value >> 8, value & 0xff]);
const u24 = (value) => Buffer.from([value >> 16, (value >> 8) & 0xff, value & 0xff]);
const u32 = (value) => Buffer.from([value >>> 24, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff]);

const attribute = (type, value) => Buffer.concat([u16(type), u16(value.length), value, Buffer.alloc(-value.length & 3)]);
const stun = (type, id, attributes, more = 0) => Buffer.concat([u16(type), u16(attributes.length + more), MAGIC, id, attributes]);

/** A message with MESSAGE-INTEGRITY and FINGERPRINT: each is computed over a length that includes itself. */
function message(type, id, attributes, password) {
  const plain = Buffer.concat(attributes);
  const code = createHmac('sha1', password).update(stun(type, id, plain, 24)).digest();
  const signed = Buffer.concat([plain, attribute(MESSAGE_INTEGRITY, code)]);
  const check = u32(crc32(stun(type, id, signed, 8)) ^ 0x5354554e);
  return stun(type, id, Buffer.concat([signed, attribute(FINGERPRINT, check)]));
}

/** Whether the MESSAGE-INTEGRITY of a message is of this password. */
function isSigned(data, password) {
  for (let at = HEADER; at + 4 <= data.length; ) {
    const [type, length] = [data.readUInt16BE(at), data.readUInt16BE(at + 2)];
    if (type === MESSAGE_INTEGRITY) {
      const [kind, id, before] = [data.readUInt16BE(0), data.subarray(8, HEADER), data.subarray(HEADER, at)];
      const code = createHmac('sha1', password).update(stun(kind, id, before, 24)).digest();
      return code.equals(data.subarray(at + 4, at + 4 + length));
    }
    at += 4 + length + (-length & 3);
  }
  return false;
}

/** A socket, and the address of the server that has answered on it. */
class Path {
  #socket;
  #local;
  #remote;
  #attempts;
  /** Takes what arrives besides requests for checks. */
  #receive = () => {};

  static async open({ local, remote, candidates, attempts }) {
    for (const family of ['udp4', 'udp6']) {
      const ofFamily = candidates.filter(({ address }) => isIP(address) === Number(family.at(-1)));
      if (ofFamily.length === 0) continue;
      const path = new Path(dgram.createSocket(family), local, remote, attempts);
      if (await path.#check(ofFamily)) return path;
      path.close();
    }
    return undefined;
  }

  constructor(socket, local, remote, attempts) {
    this.#socket = socket;
    this.#local = local;
    this.#remote = remote;
    this.#attempts = attempts;
    // An address that cannot be reached is one that does not answer.
    socket.on('error', () => {});
    socket.on('message', (data, from) => {
      if (data[0] < 4 && data.length >= HEADER && data.readUInt16BE(0) === REQUEST) this.#answer(data, from);
      else this.#receive(data, from);
    });
  }

  close() {
    this.#socket.close();
  }

  send(data, to = this.server) {
    this.#socket.send(data, to.port, to.address, () => {});
  }

  /** Sends again and again until `take` says that it has all. */
  exchange(send, take) {
    return new Promise((resolve) => {
      let left = this.#attempts;
      const end = (result) => {
        clearInterval(timer);
        this.#receive = () => {};
        resolve(result);
      };
      const again = () => (left-- > 0 ? send() : end(undefined));
      const timer = setInterval(again, RETRANSMISSION_MS);
      this.#receive = (data, from) => {
        const result = take(data, from);
        if (result !== undefined) end(result);
      };
      again();
    });
  }

  /** A check of each candidate, as the controlling agent, which nominates (RFC 8445 section 7.2). */
  async #check(candidates) {
    const id = randomBytes(12);
    const request = message(REQUEST, id, [
      attribute(USERNAME, Buffer.from(`${this.#remote.ufrag}:${this.#local.ufrag}`)),
      attribute(PRIORITY, u32(0x6e7f1eff)), attribute(ICE_CONTROLLING, randomBytes(8)), attribute(USE_CANDIDATE, Buffer.alloc(0)),
    ], this.#remote.pwd);
    const send = () => candidates.forEach((candidate) => this.send(request, candidate));
    this.server = await this.exchange(send, (data, from) => {
      const answers = data.length >= HEADER && data.readUInt16BE(0) === SUCCESS && data.subarray(8, HEADER).equals(id);
      return answers && isSigned(data, this.#remote.pwd) ? from : undefined;
    });
    return this.server !== undefined;
  }

  /** A server with full ICE checks the client, too. */
  #answer(request, from) {
    if (!isSigned(request, this.#local.pwd)) return;
    const id = request.subarray(8, HEADER);
    const address = isIP(from.address) === 4 ? Buffer.from(from.address.split('.').map(Number)) : undefined;
    const mask = Buffer.concat([MAGIC, id]);
    const xor = (bytes) => Buffer.from(bytes.map((byte, index) => byte ^ mask[index]));
    const mapped = address ? [attribute(XOR_MAPPED_ADDRESS, Buffer.concat([Buffer.from([0, 1]), xor(u16(from.port)), xor(address)]))] : [];
    this.send(message(SUCCESS, id, mapped, this.#local.pwd), from);
  }
}

// --- DTLS 1.2 (RFC 6347)

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const HELLO_VERIFY_REQUEST = 3;
const CERTIFICATE = 11;
const RECORD_HEADER = 13;
const HANDSHAKE_HEADER = 12;
const DTLS_1_2 = u16(0xfefd);

const vector = (lengthBytes, ...items) => {
  const content = Buffer.concat(items);
  return Buffer.concat([{ 1: Buffer.from([content.length & 0xff]), 2: u16(content.length), 3: u24(content.length) }[lengthBytes], content]);
};
const words = (...values) => Buffer.concat(values.map(u16));
const extension = (type, content) => Buffer.concat([u16(type), vector(2, content)]);

function clientHello(random, cookie, sequence) {
  const extensions = [
    extension(0x000a, vector(2, words(0x001d, 0x0017, 0x0018))), // supported_groups
    extension(0x000b, vector(1, Buffer.from([0]))), // ec_point_formats
    extension(0x000d, vector(2, words(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501))), // signature_algorithms
    extension(0x000e, Buffer.concat([vector(2, words(0x0007, 0x0001)), vector(1)])), // use_srtp
    extension(0x0017, Buffer.alloc(0)), // extended_master_secret
    extension(0xff01, Buffer.from([0])), // renegotiation_info
  ];
  const suites = words(0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a, 0xc014);
  const body = Buffer.concat([DTLS_1_2, random, vector(1), vector(1, cookie), vector(2, suites), vector(1, Buffer.from([0])), vector(2, ...extensions)]);
  const hello = Buffer.concat([Buffer.from([CLIENT_HELLO]), u24(body.length), u16(sequence), u24(0), u24(body.length), body]);
  return Buffer.concat([Buffer.from([HANDSHAKE]), DTLS_1_2, u16(0), Buffer.alloc(4), u16(sequence), vector(2, hello)]);
}

/** The fragments of handshake messages in a datagram, of records that are not encrypted. */
function* fragments(datagram) {
  for (let at = 0; at + RECORD_HEADER <= datagram.length; ) {
    const end = at + RECORD_HEADER + datagram.readUInt16BE(at + 11);
    const record = datagram.subarray(at + RECORD_HEADER, end);
    if (datagram[at] === HANDSHAKE && datagram.readUInt16BE(at + 3) === 0) {
      for (let from = 0; from + HANDSHAKE_HEADER <= record.length; ) {
        const [length, offset, size] = [1, 6, 9].map((field) => record.readUIntBE(from + field, 3));
        from += HANDSHAKE_HEADER + size;
        yield { type: record[from - HANDSHAKE_HEADER - size], length, offset, content: record.subarray(from - size, from) };
      }
    }
    at = end;
  }
}

/** `matches`, or what is wrong. */
async function fingerprintMatches(path, fingerprint) {
  const random = randomBytes(32);
  let hello = clientHello(random, Buffer.alloc(0), 0);
  const pieces = new Map();
  const certificate = await path.exchange(() => path.send(hello), (data) => {
    for (const { type, length, offset, content } of fragments(data)) {
      if (type === HELLO_VERIFY_REQUEST && content.length === length && length > 3) {
        hello = clientHello(random, content.subarray(3, 3 + content[2]), 1);
        path.send(hello);
      }
      if (type !== CERTIFICATE) continue;
      pieces.set(offset, content);
      const whole = Buffer.concat([...pieces.keys()].toSorted((a, b) => a - b).map((at) => pieces.get(at)));
      if (whole.length === length && length > 6) return whole.subarray(6, 6 + whole.readUIntBE(3, 3));
    }
    return undefined;
  });
  if (!certificate) return 'no certificate has come';
  const [algorithm = '', value = ''] = fingerprint.toLowerCase().split(' ');
  const hash = algorithm.replace('-', '');
  if (!getHashes().includes(hash)) return `the answer has no fingerprint: ${fingerprint || 'none'}`;
  const digest = createHash(hash).update(certificate).digest('hex').replace(/..(?=.)/g, '$&:');
  return digest === value ? 'matches' : `the certificate has ${algorithm} ${digest}`;
}
