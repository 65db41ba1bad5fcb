/**
 * @typedef {import('./cause.js').Carrier} Carrier
 * @typedef {import('./cause.js').Evidence} Evidence
 * @typedef {Pick<Evidence, 'ice' | 'dtls' | 'handshakeFailed' | 'gathered' | 'stun' | 'asked' | 'relays' | 'refused' | 'udp' | 'tcp' | 'tcpOffered' | 'tlsHere' | 'rejected'>} Findings
 *   what one connection shows by itself
 * @typedef {{begun: number, errors: {url: string, code: number}[], handshakeFailed: boolean}} Gathering
 */

/** A STUN or TURN server that has not answered within this time, in milliseconds, does not. */
const UNANSWERED_MS = 8_000;
/** The code of the browser for a server that does not answer. */
const UNREACHABLE = 701;

/** @type {WeakMap<RTCPeerConnection, Gathering>} */
const gatherings = new WeakMap();

/**
 * Remembers which STUN and TURN servers fail, and a handshake that does: the browser tells it once, and only to who
 * listens, and the connection is replaced at once.
 *
 * @template {RTCPeerConnection} Connection
 * @param {Connection} connection
 * @returns {Connection}
 */
export function remembered(connection) {
  /** @type {Gathering} */
  const gathering = { begun: performance.now(), errors: [], handshakeFailed: false };
  gatherings.set(connection, gathering);
  connection.addEventListener('icecandidateerror', ({ url, errorCode }) => gathering.errors.push({ url, code: errorCode }));
  connection.addEventListener('connectionstatechange', () => {
    const ends = connection.getTransceivers().flatMap(({ sender, receiver }) => [sender, receiver]);
    gathering.handshakeFailed ||= ends.some(({ transport }) => transport?.state === 'failed');
  });
  return connection;
}

/** Whether the handshake of a connection has failed. @param {RTCPeerConnection} connection */
export function hasFailedHandshake(connection) {
  return gatherings.get(connection)?.handshakeFailed ?? false;
}

/**
 * What a connection shows.
 *
 * @param {RTCPeerConnection} connection
 * @param {URL} page the server's address
 * @returns {Promise<Findings>}
 */
export async function findings(connection, page) {
  const { begun, errors } = gatherings.get(connection) ?? { begun: 0, errors: [] };
  const urls = (connection.getConfiguration().iceServers ?? []).flatMap(({ urls }) => urls);
  // What works needs no figures.
  const reports = connection.connectionState === 'connected' ? [] : [...(await connection.getStats()).values()];
  const candidates = new Map(reports.filter(({ type }) => type === 'local-candidate').map((one) => [one.id, one]));
  const answered = reports.filter(({ type, responsesReceived }) => type === 'candidate-pair' && responsesReceived > 0)
    .map(({ localCandidateId }) => candidates.get(localCandidateId)).filter((one) => one?.candidateType !== 'relay');
  const relays = [...candidates.values()].filter(({ candidateType }) => candidateType === 'relay')
    .map(({ relayProtocol }) => /** @type {Carrier} */ (relayProtocol));
  const refusals = errors.filter(({ code }) => code !== UNREACHABLE);
  const hasMapped = [...candidates.values()].some(({ candidateType, protocol }) => candidateType === 'srflx' && protocol === 'udp');
  const silent = new Set(errors.filter(({ code }) => code === UNREACHABLE).map(({ url }) => host(url)));
  const stun = urls.filter((url) => url.startsWith('stun:'));
  return {
    ice: ['connected', 'completed'].includes(connection.iceConnectionState),
    dtls: reports.find(({ type }) => type === 'transport')?.dtlsState ?? dtlsOf(connection),
    handshakeFailed: hasFailedHandshake(connection),
    gathered: connection.iceGatheringState === 'complete' || performance.now() - begun >= UNANSWERED_MS,
    stun: stun.length > 0 && stun.every((url) => silent.has(host(url))),
    asked: [...new Set(urls.map(carrierOf).filter((way) => way !== null))],
    relays: [...new Set(relays)],
    refused: refusals.map(({ code }) => code),
    udp: hasMapped || relays.includes('udp') || refusals.some(({ url }) => carrierOf(url) === 'udp') || answered.some(({ protocol }) => protocol === 'udp'),
    tcp: answered.some(({ protocol }) => protocol === 'tcp'),
    tcpOffered: /^a=candidate:\S+ \d+ tcp /im.test(connection.remoteDescription?.sdp ?? ''),
    tlsHere: urls.some((url) => url.startsWith('turns:') && host(url) === `${page.hostname}:${page.port || '443'}`),
    rejected: isRejected(connection.currentLocalDescription, connection.currentRemoteDescription),
  };
}

/**
 * What two connections show that are made one after the other for the same purpose.
 *
 * @param {Findings | undefined} former
 * @param {Findings} latter
 * @returns {Findings}
 */
export function joined(former, latter) {
  if (!former) return latter;
  return {
    ...latter,
    handshakeFailed: former.handshakeFailed || latter.handshakeFailed,
    gathered: former.gathered || latter.gathered,
    stun: former.stun || latter.stun,
    relays: [...new Set([...former.relays, ...latter.relays])],
    refused: [...new Set([...former.refused, ...latter.refused])],
    udp: former.udp || latter.udp,
    tcp: former.tcp || latter.tcp,
    tcpOffered: former.tcpOffered || latter.tcpOffered,
  };
}

/** The state of DTLS where a browser has no figures of it. @param {RTCPeerConnection} connection @returns {RTCDtlsTransportState} */
function dtlsOf({ connectionState, iceConnectionState }) {
  if (connectionState === 'connected') return 'connected';
  return connectionState === 'failed' && iceConnectionState !== 'failed' ? 'failed' : 'new';
}

/** How a URL leads to a relay; null for STUN. @param {string} url @returns {Carrier | null} */
export function carrierOf(url) {
  if (url.startsWith('turns:')) return 'tls';
  if (!url.startsWith('turn:')) return null;
  return /[?&]transport=tcp/.test(url) ? 'tcp' : 'udp';
}

/** @param {string} url */
function host(url) {
  return url.replace(/^\w+:/, '').replace(/\?.*/, '');
}

/**
 * Whether the answer refuses a kind of media that the offer offers.
 *
 * @param {RTCSessionDescription | null} one
 * @param {RTCSessionDescription | null} other
 */
export function isRejected(one, other) {
  const [offer, answer] = one?.type === 'offer' ? [one, other] : [other, one];
  if (!offer || !answer || answer.type !== 'answer') return false;
  const offered = sections(offer.sdp);
  const isOn = (/** @type {string} */ section) => !/^m=\w+ 0 /.test(section) || section.includes('a=bundle-only');
  return sections(answer.sdp).some((section, at) => /^m=(audio|video) 0 /.test(section) && isOn(offered[at] ?? 'm=none 0 '));
}

/** @param {string} sdp */
function sections(sdp) {
  return sdp.split(/^(?=m=)/m).slice(1);
}
