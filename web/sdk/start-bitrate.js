/**
 * The bitrate with which a browser starts sending video, in kbit/s. Chromium's default of 300 is too low for a large
 * picture: it drops a camera's first four frames and starts with a small one. Measurement of the path follows in any case.
 */
const START_KBPS = 800;

/**
 * Adds the start bitrate to an answer. Browsers other than Chromium ignore the parameter.
 *
 * @param {string} sdp
 */
export function withStartBitrate(sdp) {
  return sdp.split(/^(?=m=)/m).map((section) => {
    if (!section.startsWith('m=video') || section.includes('x-google-start-bitrate')) return section;
    const parameter = `x-google-start-bitrate=${START_KBPS}`;
    return section.replace(/^a=rtpmap:(\d+) (?!rtx\/|red\/|ulpfec\/)\S+(\r?\n)/gmi, (line, type, end) => {
      const known = new RegExp(`^a=fmtp:${type} `, 'm').test(section);
      return known ? line : `${line}a=fmtp:${type} ${parameter}${end}`;
    }).replace(/^a=fmtp:\d+ (?!apt=)[^\r\n]*/gm, (line) => (line.includes(parameter) ? line : `${line};${parameter}`));
  }).join('');
}
