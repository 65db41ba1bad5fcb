/**
 * The JavaScript SDK of Visavis, which the page itself uses.
 *
 * @typedef {import('./call.js').AppData} AppData
 * @typedef {import('./call.js').CallEvents} CallEvents
 * @typedef {import('./call.js').ChatLine} ChatLine
 * @typedef {import('./cause.js').Cause} Cause
 * @typedef {import('./cause.js').Evidence} Evidence
 * @typedef {import('./protocol.js').ClientMessage} ClientMessage
 * @typedef {import('./protocol.js').HostAction} HostAction
 * @typedef {import('./protocol.js').JoinOptions} JoinOptions
 * @typedef {import('./protocol.js').Peer} Peer
 * @typedef {import('./protocol.js').Role} Role
 * @typedef {import('./protocol.js').Room} Room
 * @typedef {import('./protocol.js').ServerMessage} ServerMessage
 * @typedef {import('./protocol.js').Track} Track
 * @typedef {import('./protocol.js').TransportName} TransportName
 * @typedef {import('./protocol.js').Welcome} Welcome
 * @typedef {import('./session.js').SessionState} SessionState
 * @typedef {import('./transceivers.js').RemoteStreams} RemoteStreams
 */
export { Call } from './call.js';
export { callCause, deviceCause } from './cause.js';
export { DataSaving } from './data-saving.js';
export { HostPowers } from './host-powers.js';
export { LevelMeter } from './level-meter.js';
export { LocalMedia } from './local-media.js';
export { MediaPath } from './media-path.js';
export { MeshCall } from './mesh-call.js';
export { RefusedError } from './protocol.js';
export { QualityWatch } from './quality.js';
export { Ringing } from './ringing.js';
export { Session } from './session.js';
export { SfuCall } from './sfu-call.js';
