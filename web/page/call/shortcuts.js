import { preferences } from '../storage/preferences.js';

/**
 * Single letters that do what a button does, where no text is typed. They can be switched off in the settings.
 *
 * @param {Record<string, () => void>} actions by letter
 * @returns {() => void} takes them off again
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
