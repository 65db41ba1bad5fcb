/**
 * Requests both channels in an answer if the offer has them: a browser decodes Opus to mono unless its answer requests
 * stereo, which no browser does by itself.
 *
 * @param {string} answer
 * @param {string} offer
 */
export function withStereo(answer, offer) {
  const stereo = new Set(sections(offer).filter((section) => opusParameters(section).some((word) => /^(sprop-)?stereo=1$/.test(word))).map(midOf));
  return sections(answer).map((section) => {
    const parameters = opusParameters(section);
    if (!stereo.has(midOf(section)) || parameters.length === 0 || parameters.includes('stereo=1')) return section;
    return section.replace(opusLine(section), (line) => `${line};stereo=1`);
  }).join('');
}

/** @param {string} sdp the part before the first m-line is the first of them */
function sections(sdp) {
  return sdp.split(/^(?=m=)/m);
}

/** @param {string} section */
function midOf(section) {
  return /^a=mid:(\S+)/m.exec(section)?.[1];
}

/** The line of format parameters of Opus. @param {string} section */
function opusLine(section) {
  const type = /^a=rtpmap:(\d+) opus\//mi.exec(section)?.[1];
  return new RegExp(`^a=fmtp:${type} [^\\r\\n]*`, 'm');
}

/** @param {string} section */
function opusParameters(section) {
  if (!section.startsWith('m=audio')) return [];
  const line = opusLine(section).exec(section)?.[0] ?? '';
  return line.slice(line.indexOf(' ') + 1).split(';').map((word) => word.trim()).filter((word) => word !== '');
}
