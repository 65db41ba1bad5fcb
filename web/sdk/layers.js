/** The names of layers, from the least to the best. The server orders them by size, so the names have no meaning. */
const RIDS = ['q', 'h', 'f'];
/** The longer side of the smallest picture that is sent or asked for, in pixels. */
export const SMALLEST = 320;
/** A picture whose longer side is below this is not divided further. */
const LEAST = 240;

/**
 * The bitrate of a picture, by its longer side.
 *
 * @param {number} side pixels
 */
const bitrate = (side) => (side >= 960 ? 1_700_000 : side >= 480 ? 500_000 : 150_000);

/** @param {MediaStreamTrack} track */
function longerSide(track) {
  const { width = 1280, height = 720 } = track.getSettings();
  return Math.max(width, height);
}

/**
 * The layers in which a camera is sent: its picture, a half and a quarter of it, as far as that is worth it.
 *
 * @param {MediaStreamTrack} track
 * @returns {RTCRtpEncodingParameters[]}
 */
export function layersOf(track) {
  const side = longerSide(track);
  const count = RIDS.findIndex((_, at) => side / 2 ** (at + 1) < LEAST) + 1 || RIDS.length;
  return RIDS.slice(-count).map((rid, at) => {
    const scaleResolutionDownBy = 2 ** (count - 1 - at);
    return { rid, scaleResolutionDownBy, maxBitrate: bitrate(side / scaleResolutionDownBy) };
  });
}

/**
 * Fits the bitrates of the layers to the camera that is sent now.
 *
 * @param {RTCRtpSender} sender
 */
export async function fitLayers(sender) {
  const { track } = sender;
  const parameters = sender.getParameters();
  if (!track || parameters.encodings.length < 2) return;
  const side = longerSide(track);
  for (const encoding of parameters.encodings) encoding.maxBitrate = bitrate(side / (encoding.scaleResolutionDownBy ?? 1));
  await sender.setParameters(parameters).catch(() => {});
}

/**
 * How the smallest picture of a camera is sent where it is not divided into layers.
 *
 * @param {MediaStreamTrack | null} track
 */
export function smallestOf(track) {
  return { maxBitrate: bitrate(SMALLEST), smaller: track ? Math.max(1, longerSide(track) / SMALLEST) : 1 };
}

/**
 * Sends only these layers.
 *
 * @param {RTCRtpSender} sender
 * @param {string[]} active
 */
export async function activate(sender, active) {
  const parameters = sender.getParameters();
  const layers = parameters.encodings.filter(({ rid }) => rid !== undefined);
  const changed = layers.filter(({ rid, active: is = true }) => is !== active.includes(rid ?? ''));
  if (changed.length === 0) return;
  for (const layer of layers) layer.active = active.includes(layer.rid ?? '');
  await sender.setParameters(parameters).catch(() => {});
}
