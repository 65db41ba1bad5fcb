/**
 * Why something does not work, by the names of docs/signaling-protocol.md. A cause is named only where the outcomes
 * leave no other explanation: a wrong name is worse than none.
 *
 * @typedef {import('./probes.js').Outcome} Outcome
 * @typedef {import('../../sdk/index.js').Cause} Cause
 *
 * @typedef {object} Seen what the probes have seen beside their outcomes
 * @property {boolean} udp something has come through by UDP
 * @property {boolean} [https] the page came over TLS
 * @property {boolean} [tlsHere] TURN over TLS was tried on the page's own port
 * @property {boolean} [tcpHere] the relay has answered by plain TCP on the page's own port
 * @property {boolean} [heard] whether the media server has received a check; absent if it was not asked
 * @property {boolean} [path] ICE has found a path to the media server, on which DTLS failed
 * @property {Record<string, number>} [refused] the code with which the relay refused, by probe
 */

/** A clock that differs from the server's by more than this, in milliseconds, makes tokens and credentials invalid. */
const CLOCK_MS = 60_000;
/** The codes of a relay that has no place left (RFC 8656 section 19). */
const FULL = new Set([486, 508]);

/**
 * The cause of each probe that has failed.
 *
 * @param {Record<string, Outcome>} outcomes by probe
 * @param {Seen} seen
 * @returns {Record<string, Cause>}
 */
export function pathCauses(outcomes, seen) {
  /** @type {Record<string, Cause>} */
  const causes = {};
  for (const [name, outcome] of Object.entries(outcomes)) {
    if (outcome === 'fails') causes[name] = pathCause(name, outcomes, seen);
  }
  return causes;
}

/**
 * @param {string} name
 * @param {Record<string, Outcome>} outcomes
 * @param {Seen} seen
 * @returns {Cause}
 */
function pathCause(name, outcomes, seen) {
  const { websocket, sse, turnUdp, turnTcp, turnTls, media, iceTcp } = outcomes;
  const isSignaling = name === 'websocket' || name === 'sse';
  if (websocket !== 'works' && sse !== 'works') return isSignaling ? 'server-unreachable' : 'unknown';
  if (isSignaling) return 'unknown';
  const code = seen.refused?.[name];
  if (code) return FULL.has(code) ? 'relay-quota' : 'relay-refused';
  const works = (/** @type {(Outcome | undefined)[]} */ ...those) => those.includes('works');
  const isTcp = name === 'turnTcp' || name === 'turnTls' || name === 'iceTcp';
  // HTTPS comes through on this port, and nothing else that the same port accepts.
  const isInspected = seen.https && seen.tlsHere && turnTls === 'fails' && iceTcp === 'fails' && !seen.tcpHere;
  if (isInspected && isTcp) return 'tls-inspected';
  // The relay or the media server lives, since it answers over TCP, and nothing else has come through by UDP either.
  if (works(turnTcp, turnTls, iceTcp) && turnUdp === 'fails' && !seen.udp && !isTcp) return 'udp-blocked';
  // The relay lives, since it answers over UDP.
  if ((name === 'turnTcp' || name === 'turnTls') && works(turnUdp) && !works(turnTcp, turnTls)) return 'tcp-blocked';
  const isRelay = name === 'stun' || name.startsWith('turn');
  // Packets of both kinds come through to the server, but nothing from the relay.
  if (isRelay && media === 'works' && seen.udp && !works(turnUdp, turnTcp, turnTls)) return 'relay-unreachable';
  if (isRelay) return 'unknown';
  if (seen.path) return 'dtls-failed';
  // The page's port takes more than HTTP, and UDP comes through: only the announced addresses are left.
  const isLost = media !== 'works' && iceTcp === 'fails' && seen.heard === false;
  return isLost && seen.udp && seen.tcpHere ? 'wrong-external-address' : 'unknown';
}

/** @param {number} ahead milliseconds by which the server's clock is ahead @returns {Cause | null} */
export function clockCause(ahead) {
  return Math.abs(ahead) > CLOCK_MS ? 'clock-off' : null;
}
