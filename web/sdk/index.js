/** The JavaScript SDK of Visavis: what the page itself is made with. */
export { Call } from './call.js';
export { LocalMedia } from './local-media.js';
export { MeshCall } from './mesh-call.js';
export { RefusedError } from './protocol.js';
export { Session } from './session.js';
