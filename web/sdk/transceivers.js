/**
 * The streams that arrive from a peer.
 *
 * @typedef {object} RemoteStreams
 * @property {MediaStream} main microphone and camera
 * @property {MediaStream | null} screen
 */

/**
 * Identifies the other side's connection that a description belongs to.
 *
 * @param {RTCSessionDescriptionInit} description
 */
export function originOf({ sdp }) {
  return /^o=\S+ (\S+)/m.exec(sdp ?? '')?.[1];
}

/**
 * Puts a track on a transceiver, without negotiation.
 *
 * @param {RTCRtpTransceiver | undefined} line
 * @param {MediaStreamTrack | null} track
 */
export async function put(line, track) {
  if (line && line.sender.track !== track) await line.sender.replaceTrack(track);
}

/**
 * The factor by which the first pictures of a camera are scaled down: while the path is unknown, browsers drop large ones.
 */
export const SMALL = 4;
/** The time after which pictures have their full size, in milliseconds since the connection is established. */
export const SMALL_MS = 500;

/**
 * @param {RTCRtpTransceiver | undefined} line
 * @param {number | undefined} maxBitrate bits per second; unchanged by default
 * @param {number} [smaller] the factor by which pictures are scaled down
 */
export async function limit(line, maxBitrate, smaller = 1) {
  const parameters = line?.sender.getParameters();
  const [encoding] = parameters?.encodings ?? [];
  if (!line || !parameters || !encoding) return;
  if (encoding.maxBitrate === (maxBitrate ?? encoding.maxBitrate) && (encoding.scaleResolutionDownBy ?? 1) === smaller) return;
  if (maxBitrate !== undefined) encoding.maxBitrate = maxBitrate;
  encoding.scaleResolutionDownBy = smaller;
  await line.sender.setParameters(parameters).catch(() => {});
}

/**
 * Makes these the tracks of a stream, and changes only those that differ.
 *
 * @param {MediaStream} stream
 * @param {MediaStreamTrack[]} tracks
 */
export function fill(stream, tracks) {
  for (const track of stream.getTracks()) if (!tracks.includes(track)) stream.removeTrack(track);
  for (const track of tracks) if (!stream.getTracks().includes(track)) stream.addTrack(track);
}
