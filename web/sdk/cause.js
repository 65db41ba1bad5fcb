/**
 * Why a connection, a device or a track failed, by the names of docs/signaling-protocol.md. A cause is named only where
 * nothing else explains what was seen: a wrong name is worse than none.
 *
 * @typedef {import('./transport/messages.js').Cause} Cause
 * @typedef {import('./device-prompt.js').DeviceKind} DeviceKind
 * @typedef {import('./device-prompt.js').DeviceProblem} DeviceProblem
 * @typedef {'udp' | 'tcp' | 'tls'} Carrier
 *
 * @typedef {object} Evidence what is known of one connection
 * @property {boolean} server the session with the server is established
 * @property {boolean} https the page came over TLS
 * @property {boolean} toServer the other end is the media server
 * @property {boolean} waited a path should have been found by now, or the handshake on it finished
 * @property {boolean} ice ICE has found a path
 * @property {boolean} was a path had been found before
 * @property {RTCDtlsTransportState} dtls
 * @property {boolean} handshakeFailed a handshake has failed since media flowed last: another one is on its way
 * @property {boolean} gathered every STUN and TURN server has answered, or had time to
 * @property {boolean} stun STUN over UDP was asked and did not answer
 * @property {Carrier[]} asked the ways to a relay that were tried
 * @property {Carrier[]} relays the ways by which a relay has provided an address
 * @property {number[]} refused the error codes of relays
 * @property {boolean} udp something has come through by UDP
 * @property {boolean} tcp a check over TCP was answered
 * @property {boolean} tcpOffered the other end accepts TCP connections on the page's port
 * @property {boolean} tlsHere one of the ways over TLS leads to the page's own host and port
 * @property {'udp' | 'tcp' | 'relay' | 'none' | null} heard where the media server has received a check from; `null` if
 *   it was not asked
 * @property {boolean} rejected a kind of media was refused for want of a codec
 * @property {boolean} stopped media had arrived and arrives no more, although the other end sends
 * @property {'own-network' | 'sender' | null} quality why the media server sends no picture
 */

/** The codes of a relay that has no place (RFC 8656 section 19): allocation quota reached, insufficient capacity. */
const FULL = new Set([486, 508]);
/** Those of a relay that refuses: unauthorized, forbidden, wrong credentials. */
const REFUSED = new Set([401, 403, 441]);

/** @param {Evidence} evidence @returns {Cause | null} null if nothing has failed, or not for long enough */
export function callCause(evidence) {
  const cause = evidence.ice ? mediaCause(evidence) : evidence.handshakeFailed ? 'dtls-failed' : pathCause(evidence);
  return cause && !evidence.server ? 'server-unreachable' : cause;
}

/** @param {Evidence} evidence @returns {Cause | null} */
function mediaCause({ waited, dtls, handshakeFailed, rejected, stopped, quality }) {
  if (dtls === 'failed') return 'dtls-failed';
  if (dtls !== 'connected') return waited || handshakeFailed ? 'dtls-failed' : null;
  if (rejected) return 'no-common-codec';
  if (quality) return quality === 'sender' ? 'peer-network' : 'own-network';
  return stopped ? 'media-stopped' : null;
}

/** @param {Evidence} evidence @returns {Cause | null} */
function pathCause(evidence) {
  const { server, toServer, waited, was, gathered, asked, relays, refused, udp, tcpOffered, heard } = evidence;
  if (!server && waited) return 'unknown';
  if (!waited || !gathered) return null;
  const isRelayed = relays.length > 0;
  if (!isRelayed && refused.some((code) => FULL.has(code))) return 'relay-quota';
  if (!isRelayed && refused.some((code) => REFUSED.has(code))) return 'relay-refused';
  if (isBlocked(evidence)) return blockedCause(evidence);
  // UDP comes through, to STUN for example, but nothing of the relay.
  if (!toServer && udp && asked.length > 0 && !isRelayed) return 'relay-unreachable';
  // A relay is outside this network, and the page's port is open: only the announced addresses are left.
  if (toServer && heard === 'none' && isRelayed && tcpOffered) return 'wrong-external-address';
  return was ? 'media-stopped' : 'unknown';
}

/** Whether nothing at all comes through by UDP, and nothing but HTTP by TCP. @param {Evidence} evidence */
function isBlocked({ udp, stun, asked, relays, tcp }) {
  return !udp && (stun || asked.includes('udp')) && !tcp && relays.length === 0;
}

/** @param {Evidence} evidence @returns {Cause} */
function blockedCause({ https, tlsHere, asked, tcpOffered }) {
  if (https && tlsHere) return 'tls-inspected';
  return asked.some((way) => way !== 'udp') || tcpOffered ? 'unknown' : 'udp-blocked';
}

/**
 * @param {DeviceKind} kind
 * @param {DeviceProblem | null} problem
 * @returns {Cause}
 */
export function deviceCause(kind, problem) {
  if (problem === 'denied') return `${kind}-denied`;
  if (problem === 'busy') return `${kind}-busy`;
  return problem === 'missing' ? `no-${kind}` : 'unknown';
}
