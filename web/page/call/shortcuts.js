import { preferences } from '../storage/preferences.js';

/**
 * Single letters that act as buttons, except while text is entered. The settings can disable them.
 *
 * @param {Record<string, () => void>} actions by letter
 * @returns {() => void} removes them
 */
export function listenToShortcuts(actions) {
  const pressed = (/** @type {KeyboardEvent} */ event) => {
    if (!preferences.shortcuts || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const { target } = event;
    const typing = target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
    if (typing || document.querySelector('dialog[open]')) return;
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  };
  document.addEventListener('keydown', pressed);
  return () => document.removeEventListener('keydown', pressed);
}
