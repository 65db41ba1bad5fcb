import { t } from './i18n.js';

/** @typedef {import('../sdk/local-media.js').LocalMedia} LocalMedia */

/**
 * What is wrong with the devices, a sentence each.
 *
 * @param {LocalMedia} media
 * @returns {string[]}
 */
export function deviceProblems({ problems }) {
  const { microphone, camera } = problems;
  if (microphone && microphone === camera) return [t(`devices.both.${microphone}`)];
  return [camera && t(`devices.camera.${camera}`), microphone && t(`devices.microphone.${microphone}`)].filter(
    (text) => text !== null,
  );
}
