/**
 * Adds `nack` for audio to an offer: browsers support it, but offer it for video only. With it a recording has no silence
 * where a packet was lost.
 *
 * @param {string} sdp
 */
export function withSoundAgain(sdp) {
  return sdp.split(/^(?=m=)/m).map((section) => {
    if (!section.startsWith('m=audio')) return section;
    return section.replace(/^a=rtpmap:(\d+) opus\/.*(\r?\n)/gmi, (line, type, end) => {
      const feedback = `a=rtcp-fb:${type} nack${end}`;
      return section.includes(feedback) ? line : line + feedback;
    });
  }).join('');
}
