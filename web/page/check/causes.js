/**
 * Why something does not work, by the names of docs/signaling-protocol.md. A cause is named only where the outcomes
 * leave no other explanation: a wrong name is worse than none.
 *
 * @typedef {import('./probes.js').Outcome} Outcome
 * @typedef {import('../../sdk/device-prompt.js').DeviceProblem} DeviceProblem
 *
 * @typedef {'server-unreachable' | 'udp-blocked' | 'tcp-blocked' | 'relay-unreachable' | 'clock-off' | 'unknown'
 *   | 'camera-denied' | 'camera-busy' | 'no-camera' | 'microphone-denied' | 'microphone-busy' | 'no-microphone'} Cause
 */

/** A clock that differs from the server's by more than this, in milliseconds, makes tokens and credentials invalid. */
const CLOCK_MS = 60_000;

/**
 * The cause of each probe that has failed.
 *
 * @param {Record<string, Outcome>} outcomes by probe
 * @param {boolean} udp whether anything has come through by UDP
 * @returns {Record<string, Cause>}
 */
export function pathCauses(outcomes, udp) {
  /** @type {Record<string, Cause>} */
  const causes = {};
  for (const [name, outcome] of Object.entries(outcomes)) {
    if (outcome === 'fails') causes[name] = pathCause(name, outcomes, udp);
  }
  return causes;
}

/**
 * @param {string} name
 * @param {Record<string, Outcome>} outcomes
 * @param {boolean} udp
 * @returns {Cause}
 */
function pathCause(name, outcomes, udp) {
  const { websocket, sse, turnUdp, turnTcp, turnTls, media } = outcomes;
  const isSignaling = name === 'websocket' || name === 'sse';
  if (websocket !== 'works' && sse !== 'works') return isSignaling ? 'server-unreachable' : 'unknown';
  if (isSignaling) return 'unknown';
  const works = (/** @type {(Outcome | undefined)[]} */ ...those) => those.includes('works');
  // The relay lives, since it answers over TCP, and nothing else has come through by UDP either.
  if (works(turnTcp, turnTls) && turnUdp === 'fails' && !udp && name !== 'turnTcp' && name !== 'turnTls') return 'udp-blocked';
  // The relay lives, since it answers over UDP.
  if ((name === 'turnTcp' || name === 'turnTls') && works(turnUdp) && !works(turnTcp, turnTls)) return 'tcp-blocked';
  const isRelay = name === 'stun' || name.startsWith('turn');
  // Packets of both kinds come through to the server, but nothing from the relay.
  if (isRelay && media === 'works' && udp && !works(turnUdp, turnTcp, turnTls)) return 'relay-unreachable';
  return 'unknown';
}

/**
 * @param {'camera' | 'microphone'} kind
 * @param {DeviceProblem | null} problem
 * @returns {Cause}
 */
export function deviceCause(kind, problem) {
  if (problem === 'denied') return `${kind}-denied`;
  if (problem === 'busy') return `${kind}-busy`;
  return problem === 'missing' ? `no-${kind}` : 'unknown';
}

/** @param {number} ahead milliseconds by which the server's clock is ahead @returns {Cause | null} */
export function clockCause(ahead) {
  return Math.abs(ahead) > CLOCK_MS ? 'clock-off' : null;
}
