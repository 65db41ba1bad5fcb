/** The JavaScript SDK of Visavis, which the page itself uses. */
export { Call } from './call.js';
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
