import { h } from '../base/dom.js';

const SVG = 'http://www.w3.org/2000/svg';

/** Outlines on a grid of 24 by 24. */
const PATHS = {
  mic: 'M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3zM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21M8.5 21h7',
  'mic-off':
    'M9 9v2a3 3 0 0 0 4.6 2.5M15 10.5V6a3 3 0 0 0-5.9-.8M5.5 11a6.5 6.5 0 0 0 10.4 5.2M18.5 11c0 1-.2 2-.6 2.8M12 17.5V21M8.5 21h7M4 4l16 16',
  camera: 'M4.5 6.5h9a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-9a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2zM15.5 10.8l6-3.3v9l-6-3.3',
  'camera-off':
    'M6.5 6.5h-2a2 2 0 0 0-2 2v7a2 2 0 0 0 2 2h9a2 2 0 0 0 2-2M10 6.5h3.5a2 2 0 0 1 2 2V12l6 4.5v-9l-6 3.3M3.5 3.5l17 17',
  screen: 'M4 4.5h16a1.5 1.5 0 0 1 1.5 1.5v9.5A1.5 1.5 0 0 1 20 17H4a1.5 1.5 0 0 1-1.5-1.5V6A1.5 1.5 0 0 1 4 4.5zM8 20.5h8M12 13.5V8M9.5 10.2 12 7.8l2.5 2.4',
  chat: 'M5 4.5h14A2.5 2.5 0 0 1 21.5 7v7.5A2.5 2.5 0 0 1 19 17h-7l-5 4v-4H5a2.5 2.5 0 0 1-2.5-2.5V7A2.5 2.5 0 0 1 5 4.5z',
  people:
    'M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c.3-3.7 3-5.8 6.5-5.8s6.2 2.1 6.5 5.8M16 4.8a3.5 3.5 0 0 1 0 6.4M18 14.6c2 .8 3.3 2.7 3.5 5.4',
  hand: 'M7.5 13V6.2a1.5 1.5 0 0 1 3 0V11V4.5a1.5 1.5 0 0 1 3 0V11V5.7a1.5 1.5 0 0 1 3 0V12.5V8.7a1.5 1.5 0 0 1 3 0V15a6.5 6.5 0 0 1-6.5 6.5c-3 0-4.6-1.2-6-3.6l-3-5a1.6 1.6 0 0 1 2.7-1.7z',
  link: 'M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1.5 1.5M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7l1.5-1.5',
  leave: 'M2.5 14.5c0-4 4.2-6.5 9.5-6.5s9.5 2.5 9.5 6.5v1.2c0 .7-.6 1.2-1.3 1.1l-3.4-.6c-.6-.1-1-.6-1-1.2v-2.2a12 12 0 0 0-7.6 0V15c0 .6-.4 1.1-1 1.2l-3.4.6c-.7.1-1.3-.4-1.3-1.1z',
  settings:
    'M12 15.2a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4zM19.2 13.8l1.8 1.4-1.8 3.1-2.1-.8a7.5 7.5 0 0 1-2.2 1.3l-.4 2.2h-3.6l-.4-2.2a7.5 7.5 0 0 1-2.2-1.3l-2.1.8-1.8-3.1 1.8-1.4a7.6 7.6 0 0 1 0-2.6L4.4 9.8l1.8-3.1 2.1.8a7.5 7.5 0 0 1 2.2-1.3l.4-2.2h3.6l.4 2.2a7.5 7.5 0 0 1 2.2 1.3l2.1-.8L21 9.8l-1.8 1.4a7.6 7.6 0 0 1 0 2.6z',
  more: 'M5.5 12h.01M12 12h.01M18.5 12h.01',
  previous: 'M14.5 5.5 8 12l6.5 6.5',
  next: 'M9.5 5.5 16 12l-6.5 6.5',
  close: 'M6 6l12 12M18 6 6 18',
  send: 'M4 12 20.5 4.5 16 20l-4.5-6.5zM11.5 13.5 20 5',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  pin: 'M9 4h6l-.7 6 3.2 3v2h-11v-2l3.2-3zM12 15v6',
  flip: 'M4 9a8 8 0 0 1 14-3l2 2M20 3.5V8h-4.5M20 15a8 8 0 0 1-14 3l-2-2M4 20.5V16h4.5',
  smile: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8.5 14.5c.8 1.2 2 1.9 3.5 1.9s2.7-.7 3.5-1.9M9 9.8h.01M15 9.8h.01',
  grid: 'M4 4.5h7v6.5H4zM13 4.5h7v6.5h-7zM4 13h7v6.5H4zM13 13h7v6.5h-7z',
  speaker: 'M3.5 4.5h17v10h-17zM3.5 17h5v3h-5zM9.5 17h5v3h-5zM15.5 17h5v3h-5z',
  pip: 'M4 5h16a1.5 1.5 0 0 1 1.5 1.5v11A1.5 1.5 0 0 1 20 19H4a1.5 1.5 0 0 1-1.5-1.5v-11A1.5 1.5 0 0 1 4 5zM12 11.5h6.5V16H12z',
  phone: 'M5 3.5h3.5l1.7 4.6-2.3 1.7a13 13 0 0 0 6.3 6.3l1.7-2.3 4.6 1.7V19a2 2 0 0 1-2.2 2A17.5 17.5 0 0 1 3 5.7a2 2 0 0 1 2-2.2z',
  chart: 'M4 20V11M10 20V4M16 20v-6M21 20H3',
  eye: 'M2 12c2.4-4.6 5.8-6.9 10-6.9s7.6 2.3 10 6.9c-2.4 4.6-5.8 6.9-10 6.9S4.4 16.6 2 12zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z',
  lock: 'M6.5 11h11a1.5 1.5 0 0 1 1.5 1.5V19a1.5 1.5 0 0 1-1.5 1.5h-11A1.5 1.5 0 0 1 5 19v-6.5A1.5 1.5 0 0 1 6.5 11zM8 11V8a4 4 0 0 1 8 0v3',
};

/** @typedef {keyof typeof PATHS} IconName */

/**
 * A decorative icon: the button around it has the accessible name.
 *
 * @param {IconName} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/** The two faces of Visavis, which `style/base.css` draws. */
export const logo = () => h('span', { class: 'logo', 'aria-hidden': 'true' });
