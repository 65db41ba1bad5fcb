/** The tones of a chime: when each begins in seconds, and its pitch in hertz. */
const CHIMES = {
  knock: [[0, 660], [0.16, 880]],
  ring: [[0, 784], [0.2, 988], [0.4, 784], [0.6, 988]],
};
const LOUDNESS = 0.12;
const TONE_S = 0.35;

/**
 * Plays a short synthesised sound, so that no file has to be loaded. A browser that plays no sound before a click stays
 * silent.
 *
 * @param {keyof typeof CHIMES} name
 */
export function chime(name) {
  if (typeof AudioContext !== 'function') return;
  const context = new AudioContext();
  const tones = CHIMES[name].map(([at, pitch]) => tone(context, context.currentTime + (at ?? 0), pitch ?? 0));
  const last = tones[tones.length - 1];
  if (last) last.onended = () => void context.close();
}

/**
 * @param {AudioContext} context
 * @param {number} at
 * @param {number} pitch
 */
function tone(context, at, pitch) {
  const gain = new GainNode(context, { gain: 0 });
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(LOUDNESS, at + 0.02);
  gain.gain.exponentialRampToValueAtTime(0.001, at + TONE_S);
  const source = new OscillatorNode(context, { frequency: pitch });
  source.connect(gain).connect(context.destination);
  source.start(at);
  source.stop(at + TONE_S);
  return source;
}
