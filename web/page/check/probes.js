import { SUBPROTOCOL } from '../../sdk/transport/websocket.js';
import { at } from '../base/root.js';

/**
 * The result of a probe. `absent`: the server does not offer the service, or it could not be tried.
 *
 * @typedef {'works' | 'fails' | 'absent'} Outcome
 * @typedef {{send: (message: object) => void, next: (wanted: (event: any) => boolean) => Promise<any>, close: () => void}} Line
 * @typedef {{room: string, features: string[], iceServers: RTCIceServer[], line: Line | null, secret: string, negotiation: number, seen: Seen}} Found
 * @typedef {import('./causes.js').Seen & {refused: Record<string, number>}} Seen
 * @typedef {{name: string, run: (found: Found) => Promise<Outcome>}} Probe
 */

/** A probe that takes longer, in milliseconds, has failed. */
const PATIENCE_MS = 15_000;
/** The browser's code for a STUN or TURN server that does not answer. */
const UNREACHABLE = 701;

/** The probes in order: later ones use results of earlier ones. */
export const PROBES = /** @type {Probe[]} */ ([
  { name: 'websocket', run: websocket },
  { name: 'sse', run: events },
  { name: 'stun', run: (found) => candidate(found, 'stun', 'stun:', 'udp') },
  { name: 'turnUdp', run: (found) => candidate(found, 'turnUdp', 'turn:', 'udp') },
  { name: 'turnTcp', run: (found) => candidate(found, 'turnTcp', 'turn:', 'tcp') },
  { name: 'turnTls', run: (found) => candidate(found, 'turnTls', 'turns:', 'tcp') },
  { name: 'media', run: (found) => media(found, 'udp') },
  { name: 'iceTcp', run: (found) => media(found, 'tcp') },
]);

/** @returns {Promise<Found>} */
export async function prepare() {
  const { features } = await (await fetch(at('version'))).json();
  const room = `check-${Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
  const seen = { udp: false, https: location.protocol === 'https:', refused: {} };
  return { room, features, iceServers: [], line: null, secret: '', negotiation: 0, seen };
}

/** What only the server knows, if something has failed. @param {Found} found */
export async function askServer({ features, secret, seen }) {
  if (!secret || !features.includes('sfu')) return;
  const answer = await fetch(at('api/v1/media-path'), { headers: { Authorization: `Bearer ${secret}` } });
  const { publish } = answer.ok ? await answer.json() : { publish: null };
  if (publish) seen.heard = publish.check !== null;
}

/** Has the server count what was found. @param {Found} found @param {Iterable<string>} causes */
export function report({ secret }, causes) {
  if (!secret) return;
  const headers = { Authorization: `Bearer ${secret}`, 'Content-Type': 'application/json' };
  for (const cause of new Set(causes)) {
    void fetch(at('api/v1/causes'), { method: 'POST', headers, body: JSON.stringify({ cause }), keepalive: true }).catch(() => {});
  }
}

/** @param {Found} found */
export function finish(found) {
  found.line?.send({ type: 'leave' });
  found.line?.close();
}

/** @param {Found} found */
function joinOf({ room, features }) {
  return { type: 'join', room, name: 'Check', topology: features.includes('sfu') ? 'sfu' : 'mesh' };
}

/** @param {Found} found @returns {Promise<Outcome>} */
async function websocket(found) {
  if (!found.features.includes('websocket')) return 'absent';
  const url = new URL(at('api/v1/ws'), location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const line = lineOf(new WebSocket(url, [SUBPROTOCOL]), joinOf(found));
  const first = await line.next((event) => event.type === 'welcome' || event.type === 'error');
  // A refusal proves the connection as well as a welcome.
  if (first.type === 'welcome') {
    found.iceServers = first.peerIceServers ?? first.iceServers ?? [];
    found.line = line;
    found.secret = first.secret;
  } else {
    line.close();
  }
  return 'works';
}

/** @param {Found} found @returns {Promise<Outcome>} */
async function events(found) {
  if (!found.features.includes('sse')) return 'absent';
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), PATIENCE_MS);
  const { signal } = late;
  const headers = { 'Content-Type': 'application/json' };
  let session = '';
  let authorization = {};
  try {
    const joined = await fetch(at('api/v1/sessions'), { method: 'POST', headers, body: JSON.stringify(joinOf(found)), signal });
    if (!joined.ok) return joined.status < 500 ? 'works' : 'fails';
    const welcome = await joined.json();
    if (found.iceServers.length === 0) found.iceServers = welcome.peerIceServers ?? welcome.iceServers ?? [];
    found.secret ||= welcome.secret;
    session = at(`api/v1/sessions/${encodeURIComponent(welcome.session)}`);
    authorization = { Authorization: `Bearer ${welcome.secret}` };
    const stream = await fetch(`${session}/events`, { headers: authorization, signal });
    // A proxy that buffers responses delays the first bytes.
    const first = await stream.body?.getReader().read();
    return first?.value?.length ? 'works' : 'fails';
  } finally {
    clearTimeout(timer);
    if (session) void fetch(session, { method: 'DELETE', headers: authorization, keepalive: true }).catch(() => {});
  }
}

/**
 * Whether a STUN or TURN server answers.
 *
 * @param {Found} found
 * @param {string} name of the probe
 * @param {string} scheme
 * @param {string} transport
 * @returns {Promise<Outcome>}
 */
async function candidate({ iceServers, seen }, name, scheme, transport) {
  const fits = (/** @type {string} */ url) => url.startsWith(scheme) && (new URL(url).searchParams.get('transport') ?? 'udp') === transport;
  const servers = iceServers.map((server) => ({ ...server, urls: [server.urls].flat().filter(fits) })).filter(({ urls }) => urls.length > 0);
  if (servers.length === 0) return 'absent';
  const relayed = scheme !== 'stun:';
  if (scheme === 'turns:') seen.tlsHere = servers.some(({ urls }) => urls.some(isHere));
  const connection = new RTCPeerConnection({ iceServers: servers, iceTransportPolicy: relayed ? 'relay' : 'all' });
  try {
    connection.createDataChannel('check');
    let failed = false;
    connection.onicecandidateerror = ({ errorCode }) => {
      failed = true;
      if (errorCode === UNREACHABLE) return;
      // A refusal has come through.
      seen.refused[name] = errorCode;
      if (transport === 'udp') seen.udp = true;
    };
    /** @type {Promise<Outcome>} */
    const gathered = new Promise((resolve) => {
      connection.onicecandidate = ({ candidate: one }) => {
        if (one?.type === (relayed ? 'relay' : 'srflx')) {
          if (transport === 'udp') seen.udp = true;
          if (transport === 'tcp' && scheme === 'turn:' && isHere(/** @type {any} */ (one).url ?? '')) seen.tcpHere = true;
          resolve('works');
        }
        // Without a NAT, the address seen by the server is one of the machine's own, and is not reported again.
        if (!one) resolve(relayed || failed ? 'fails' : 'works');
      };
    });
    await connection.setLocalDescription();
    return await inTime(gathered);
  } finally {
    connection.close();
  }
}

/** Whether a URL leads to the page's own host and port. @param {string} url */
function isHere(url) {
  const { protocol, hostname, port } = location;
  return url.replace(/^\w+:/, '').replace(/\?.*/, '') === `${hostname}:${port || (protocol === 'https:' ? '443' : '80')}`;
}

/**
 * Whether packets reach the media server.
 *
 * @param {Found} found
 * @param {'udp' | 'tcp'} transport
 * @returns {Promise<Outcome>}
 */
async function media(found, transport) {
  const { features, line, seen } = found;
  if (!features.includes('sfu') || !line) return 'absent';
  // Without STUN and TURN, since the port itself is tested.
  const connection = new RTCPeerConnection();
  try {
    connection.addTransceiver('audio', { direction: 'sendonly' });
    await connection.setLocalDescription();
    line.send({ type: 'publish', tracks: [{ mid: '0', kind: 'audio', source: 'other' }] });
    const negotiation = (found.negotiation += 1);
    line.send({ type: 'signal', to: 'sfu', pc: 'publish', negotiation, description: connection.localDescription });
    const { description } = await line.next((event) => event.type === 'signal' && event.from === 'sfu' && event.negotiation === negotiation && event.description?.type === 'answer');
    const other = transport === 'udp' ? 'tcp' : 'udp';
    const sdp = description.sdp.replaceAll(new RegExp(`a=candidate:\\S+ \\d+ ${other} .*\r\n`, 'g'), '');
    if (!sdp.includes('a=candidate:')) return 'absent';
    /** @type {Promise<Outcome>} */
    const connected = new Promise((resolve) => {
      connection.onconnectionstatechange = () => {
        if (connection.connectionState === 'connected') resolve('works');
        if (connection.connectionState !== 'failed') return;
        if (connection.iceConnectionState !== 'failed') seen.path = true;
        resolve('fails');
      };
    });
    await connection.setRemoteDescription({ type: 'answer', sdp });
    const outcome = await inTime(connected);
    if (outcome === 'works' && transport === 'udp') seen.udp = true;
    if (outcome === 'works' && transport === 'tcp') seen.tcpHere = true;
    return outcome;
  } finally {
    connection.close();
  }
}

/**
 * A WebSocket whose events are awaited one at a time.
 *
 * @param {WebSocket} socket
 * @param {object} first
 * @returns {Line}
 */
function lineOf(socket, first) {
  /** @type {any[]} */
  const events = [];
  /** @type {(() => void) | null} */
  let more = null;
  let over = false;
  const notify = () => more?.();
  socket.onopen = () => socket.send(JSON.stringify(first));
  socket.onmessage = ({ data }) => {
    events.push(JSON.parse(data));
    notify();
  };
  socket.onclose = () => {
    over = true;
    notify();
  };
  const next = async (/** @type {(event: any) => boolean} */ wanted) => {
    for (;;) {
      const at = events.findIndex(wanted);
      if (at >= 0) return events.splice(at, 1)[0];
      if (over) throw new Error('closed');
      await new Promise((resolve) => { more = () => resolve(undefined); });
    }
  };
  return {
    send: (message) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
    },
    next: (wanted) => inTime(next(wanted)),
    close: () => socket.close(),
  };
}

/**
 * @template Value
 * @param {Promise<Value>} promise
 * @returns {Promise<Value>}
 */
async function inTime(promise) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('late')), PATIENCE_MS); });
  try {
    return await /** @type {Promise<Value>} */ (Promise.race([promise, late]));
  } finally {
    clearTimeout(timer);
  }
}
