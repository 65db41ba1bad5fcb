/**
 * Which connection of the other side a description is of.
 *
 * @param {RTCSessionDescriptionInit} description
 */
export function originOf({ sdp }) {
  return /^o=\S+ (\S+)/m.exec(sdp ?? '')?.[1];
}

/**
 * Puts a track on a line, without negotiating.
 *
 * @param {RTCRtpTransceiver | undefined} line
 * @param {MediaStreamTrack | null} track
 */
export async function put(line, track) {
  if (line && line.sender.track !== track) await line.sender.replaceTrack(track);
}

/**
 * @param {RTCRtpTransceiver | undefined} line
 * @param {number} maxBitrate bits per second
 */
export async function limit(line, maxBitrate) {
  const parameters = line?.sender.getParameters();
  const [encoding] = parameters?.encodings ?? [];
  if (!line || !parameters || !encoding || encoding.maxBitrate === maxBitrate) return;
  encoding.maxBitrate = maxBitrate;
  await line.sender.setParameters(parameters).catch(() => {});
}

/**
 * Makes these the tracks of a stream, touching only what differs.
 *
 * @param {MediaStream} stream
 * @param {MediaStreamTrack[]} tracks
 */
export function fill(stream, tracks) {
  for (const track of stream.getTracks()) if (!tracks.includes(track)) stream.removeTrack(track);
  for (const track of tracks) if (!stream.getTracks().includes(track)) stream.addTrack(track);
}
