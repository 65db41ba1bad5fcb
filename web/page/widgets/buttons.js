import { h } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { icon } from './icons.js';

/**
 * A round button that shows an icon and has a text as its accessible name.
 *
 * @param {import('./icons.js').IconName} picture
 * @param {string} key of its name
 * @param {() => void} pressed
 * @param {string} [look] its class
 */
export function iconButton(picture, key, pressed, look = 'round') {
  const element = h('button', { type: 'button', class: look, onclick: pressed }, icon(picture));
  nameButton(element, t(key));
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {string} text
 */
export function nameButton(element, text) {
  element.setAttribute('aria-label', text);
  element.title = text;
}

/**
 * A button with a text.
 *
 * @param {string} text
 * @param {() => void} pressed
 * @param {string} [look] further classes
 */
export function textButton(text, pressed, look = '') {
  return h('button', { type: 'button', class: `button small ${look}`.trim(), onclick: pressed }, text);
}
