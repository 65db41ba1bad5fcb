import { deviceCause } from '../../sdk/index.js';
import { t } from '../base/i18n.js';

/** @typedef {import('../../sdk/local-media.js').LocalMedia} LocalMedia */

const KINDS = /** @type {const} */ (['camera', 'microphone']);

/**
 * The problems of the devices, in one or two sentences each.
 *
 * @param {LocalMedia} media
 * @param {{joining?: boolean}} [where] before the call it adds that the user can join without them
 * @returns {string[]}
 */
export function deviceProblems(media, { joining = false } = {}) {
  const { microphone, camera } = media.problems;
  const said = (/** @type {string} */ which, /** @type {string} */ problem) =>
    [t(`devices.${which}.${problem}`), joining && t(which === 'both' ? 'devices.withoutBoth' : 'devices.withoutOne')].filter(Boolean).join(' ');
  if (microphone && microphone === camera) return [said('both', microphone)];
  return [camera && said('camera', camera), microphone && said('microphone', microphone), ...deviceSubstitutions(media)].filter((text) => text !== null);
}

/** The names of these problems. @param {LocalMedia} media @returns {import('../../sdk/index.js').Cause[]} */
export function deviceCauses({ problems }) {
  return KINDS.flatMap((kind) => (problems[kind] ? [deviceCause(kind, problems[kind])] : []));
}

/**
 * The devices that are in use instead of the chosen ones, in a sentence each.
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
