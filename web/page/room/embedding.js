import { setLayout } from '../call/layout-button.js';
import { isInFrame, ParentPage } from './parent-page.js';

/**
 * @typedef {import('../../sdk/index.js').Call} Call
 * @typedef {import('../../sdk/protocol.js').Peer} Peer
 *
 * @typedef {object} Entry how the parent page lets its user in
 * @property {string} [name]
 * @property {string} [token]
 * @property {string} [password]
 */

const query = new URLSearchParams(location.search);

/** What the address hides of the call. */
export const hidden = { header: query.get('header') === 'off', chat: query.get('chat') === 'off' };

/** Whether there is no screen before the call: only where another page, which the operator knows, has one. */
export const skipsPrejoin = isInFrame && query.get('prejoin') === 'off';

/**
 * Connects the call with the page that shows it in a frame.
 *
 * @param {Call} call
 * @param {(entry: Entry) => Promise<void>} join enters the room with the devices off
 */
export function embed(call, join) {
  const parent = new ParentPage({
    join,
    leave: () => call.leave(),
    mute: () => call.media.setMicrophone(false),
    layout: (value) => setLayout(value.layout),
    who: () => [call.self, ...call.peers].flatMap((peer) => (peer ? [shown(peer)] : [])),
  });
  call.on('state', (state) => parent.tell('state', state));
  for (const event of /** @type {const} */ (['joined', 'updated'])) call.on(event, (peer) => parent.tell(event, shown(peer)));
  call.on('left', ({ peer, reason }) => parent.tell('left', { ...shown(peer), reason }));
  call.on('self', () => call.self && parent.tell('self', shown(call.self)));
  call.on('ended', (ended) => parent.tell('ended', ended));
  call.media.on('problem', (problem) => parent.tell('problem', problem));
  parent.tell('ready', { room: call.room?.id ?? null });
}

/** What the parent page learns of a peer. @param {Peer} peer */
function shown({ id, name, role, host, microphone, camera, screen, hand }) {
  return { id, name, role, host, microphone, camera, screen, hand };
}
