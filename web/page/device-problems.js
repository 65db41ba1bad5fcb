import { t } from './i18n.js';

/** @typedef {import('../sdk/local-media.js').LocalMedia} LocalMedia */

const KINDS = /** @type {const} */ (['camera', 'microphone']);

/**
 * What is wrong with the devices, a sentence each.
 *
 * @param {LocalMedia} media
 * @returns {string[]}
 */
export function deviceProblems(media) {
  const { microphone, camera } = media.problems;
  if (microphone && microphone === camera) return [t(`devices.both.${microphone}`)];
  return [camera && t(`devices.camera.${camera}`), microphone && t(`devices.microphone.${microphone}`), ...deviceSubstitutions(media)].filter(
    (text) => text !== null,
  );
}

/**
 * Where another device than the chosen one is in use, a sentence each.
 *
 * @param {LocalMedia} media
 * @returns {string[]}
 */
export function deviceSubstitutions({ substitutions }) {
  return KINDS.flatMap((kind) => {
    const substitution = substitutions[kind];
    return substitution ? [t(`devices.${kind}.${substitution.kept ? 'kept' : 'replaced'}`)] : [];
  });
}
