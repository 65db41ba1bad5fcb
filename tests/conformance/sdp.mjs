// Session descriptions: the offers of the suite, and what is read of answers.

import { randomBytes } from 'node:crypto';

const CODECS = {
  audio: [['111', 'opus/48000/2', ['fmtp:111 minptime=10;useinbandfec=1']]],
  video: [
    ['96', 'VP8/90000', ['rtcp-fb:96 nack', 'rtcp-fb:96 nack pli', 'rtcp-fb:96 ccm fir']],
    ['102', 'H264/90000', [
      'rtcp-fb:102 nack', 'rtcp-fb:102 nack pli', 'rtcp-fb:102 ccm fir',
      'fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f',
    ]],
  ],
  // No server knows it.
  unknown: [['120', 'x-conformance/90000', []]],
};

const word = (bytes) => randomBytes(bytes).toString('hex');
const fingerprint = () => randomBytes(32).toString('hex').toUpperCase().replace(/..(?=.)/g, '$&:');

export const credentials = () => ({ ufrag: word(4), pwd: word(16) });

/**
 * An offer of a client with an ICE session of its own. `kinds` are its sections: `audio`, `video`, or `unknown`, a video
 * without a known codec. By the policy max-bundle, only the first section has a port.
 */
export function offer({ direction, setup = 'actpass', kinds = ['audio', 'video'], maxBundle = false }) {
  const ice = credentials();
  const stream = word(16);
  const certificate = fingerprint();
  const lines = [
    'v=0', `o=- ${BigInt(`0x${word(7)}`)} 2 IN IP4 127.0.0.1`, 's=-', 't=0 0',
    `a=group:BUNDLE ${kinds.map((_, index) => index).join(' ')}`, 'a=extmap-allow-mixed', 'a=ice-options:trickle ice2',
  ];
  for (const [index, kind] of kinds.entries()) {
    const codecs = CODECS[kind];
    const hidden = maxBundle && index > 0;
    const formats = codecs.map(([format]) => format).join(' ');
    lines.push(
      `m=${kind === 'audio' ? 'audio' : 'video'} ${hidden ? 0 : 9} UDP/TLS/RTP/SAVPF ${formats}`, 'c=IN IP4 0.0.0.0', 'a=rtcp:9 IN IP4 0.0.0.0',
      `a=ice-ufrag:${ice.ufrag}`, `a=ice-pwd:${ice.pwd}`, `a=fingerprint:sha-256 ${certificate}`, `a=setup:${setup}`, `a=mid:${index}`,
      ...(hidden ? ['a=bundle-only'] : []), `a=${direction}`,
      ...(direction === 'recvonly' ? [] : [`a=msid:${stream} ${word(16)}`]),
      'a=rtcp-mux', 'a=rtcp-mux-only', 'a=rtcp-rsize',
      ...codecs.flatMap(([format, name, more]) => [`a=rtpmap:${format} ${name}`, ...more.map((line) => `a=${line}`)]),
    );
  }
  return { sdp: lines.map((line) => `${line}\r\n`).join(''), ice, kinds };
}

const HOST = 'a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host';
/** A transport that nobody has, a name that nobody resolves, and a kind of RFC 6544. */
export const ODD_CANDIDATES = [
  'a=candidate:2 1 sctp 2130706430 127.0.0.1 9 typ host',
  'a=candidate:3 1 udp 2130706429 6f1c2a9e-conformance.local 9 typ host',
  'a=candidate:4 1 tcp 1518280447 127.0.0.1 9 typ host tcptype active',
];

/** A fragment for PATCH (RFC 8840). */
export function fragment({ ufrag, pwd }, { kinds, candidates = [HOST] }) {
  const lines = [
    'a=ice-options:trickle ice2', `a=group:BUNDLE ${kinds.map((_, index) => index).join(' ')}`,
    'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=mid:0', `a=ice-ufrag:${ufrag}`, ...(pwd ? [`a=ice-pwd:${pwd}`] : []), ...candidates, 'a=end-of-candidates',
  ];
  return lines.map((line) => `${line}\r\n`).join('');
}

const DIRECTIONS = ['sendrecv', 'sendonly', 'recvonly', 'inactive'];

class Section {
  constructor(line) {
    const [kind, port, , ...formats] = (line ?? '').split(' ');
    Object.assign(this, { kind, port: Number(port), formats, attributes: [] });
  }

  /** The values of an attribute, in order; `''` for a property without a value. */
  all(name) {
    return this.attributes.filter((attribute) => attribute.name === name).map(({ value }) => value);
  }

  get rejected() {
    return this.port === 0 && this.all('bundle-only').length === 0;
  }
}

/** A description or a fragment. What stands before the first section is `session`. */
export class Description {
  session = new Section();
  sections = [];

  constructor(text) {
    for (const line of text.split(/\r?\n/)) {
      if (line.startsWith('m=')) this.sections.push(new Section(line.slice(2)));
      const [, name, value] = /^a=([^:]+):?(.*)$/.exec(line) ?? [];
      if (name) (this.sections.at(-1) ?? this.session).attributes.push({ name, value });
    }
  }

  get accepted() {
    return this.sections.filter((section) => !section.rejected);
  }

  /** The first value of an attribute of the section, or of the session. */
  of(section, name) {
    return section.all(name)[0] ?? this.session.all(name)[0];
  }

  /** The first value of an attribute anywhere. */
  any(name) {
    return [this.session, ...this.sections].flatMap((section) => section.all(name))[0];
  }

  direction(section) {
    return DIRECTIONS.find((name) => section.all(name).length > 0) ?? DIRECTIONS.find((name) => this.session.all(name).length > 0) ?? 'sendrecv';
  }
}
