/**
 * Identifies the other side's connection that a description belongs to.
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

/** By how much the first pictures of a camera are smaller: as long as the path is not known, browsers leave out those of a large one. */
export const SMALL = 4;
/** So long after the connection stands pictures become as large as they are. */
export const SMALL_MS = 500;

/**
 * @param {RTCRtpTransceiver | undefined} line
 * @param {number | undefined} maxBitrate bits per second; what it is unless told
 * @param {number} [smaller] by how much pictures are made smaller
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
 * Makes these the tracks of a stream, touching only what differs.
 *
 * @param {MediaStream} stream
 * @param {MediaStreamTrack[]} tracks
 */
export function fill(stream, tracks) {
  for (const track of stream.getTracks()) if (!tracks.includes(track)) stream.removeTrack(track);
  for (const track of tracks) if (!stream.getTracks().includes(track)) stream.addTrack(track);
}
