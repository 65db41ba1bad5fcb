/**
 * What a browser begins to send pictures with, in kbit/s. Chromium's own 300 are too little for a large picture: it leaves out the first four
 * of a camera, and begins small. The path is measured from there on in any case.
 */
const START_KBPS = 800;

/**
 * An answer that lets the browser begin with enough for a large picture. Others than Chromium don't know the parameter.
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
