/**
 * Whether a refusal only shows that the room changed while the message was in flight, which is no fault: the room has
 * another topology or epoch, or the peer or the session has ended.
 *
 * @param {import('./protocol.js').ClientMessage} message
 * @param {any} error
 * @param {import('./protocol.js').Room | null} room as it is now
 */
export function isOvertaken(message, error, room) {
  if (['peer-unknown', 'session-unknown'].includes(error?.code)) return true;
  if (error?.code !== 'invalid-state' || !room) return false;
  const toSfu = message.type === 'publish' || message.type === 'subscribe' || (message.type === 'signal' && message.to === 'sfu');
  if (room.topology !== (toSfu ? 'sfu' : 'mesh')) return true;
  return 'epoch' in message && message.epoch !== undefined && message.epoch !== room.epoch;
}
