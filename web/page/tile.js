import { attribute, h, setText } from './dom.js';
import { t } from './i18n.js';
import { icon } from './icons.js';
import { hueOf, initials } from './names.js';

/**
 * @typedef {object} TileState
 * @property {string} name
 * @property {boolean} microphone
 * @property {boolean} camera
 * @property {boolean} hand
 */

/** One picture with a name: somebody's camera or screen. */
export class Tile {
  /** @type {HTMLElement} */
  element;
  #self;
  #screen;
  #video = h('video', { autoplay: true, playsinline: true });
  #avatar = h('div', { class: 'avatar', 'aria-hidden': 'true' });
  #name = h('span', { class: 'tile-name', dir: 'auto' });
  #muted = h('span', { class: 'tile-badge', role: 'img', 'aria-label': t('tile.muted') }, icon('mic-off'));
  #hand = h('span', { class: 'tile-hand', role: 'img', 'aria-label': t('tile.hand') }, icon('hand'));

  /**
   * @param {object} options
   * @param {string} options.id the peer's
   * @param {boolean} [options.self] our own picture
   * @param {boolean} [options.screen] a screen, not a camera
   */
  constructor({ id, self = false, screen = false }) {
    this.#self = self;
    this.#screen = screen;
    // Our own voice must not come back to us.
    this.#video.muted = self;
    this.#video.classList.toggle('mirrored', self && !screen);
    this.#avatar.dataset.hue = String(hueOf(id));
    const name = h('div', { class: 'tile-label' }, this.#muted, this.#name);
    this.element = h('article', { class: `tile${self ? ' self' : ''}${screen ? ' screen' : ''}` },
      this.#avatar, this.#video, this.#hand, name);
    if (!self) this.element.dataset.peer = id;
    if (!self) this.element.dataset.source = screen ? 'screen' : 'camera';
  }

  /** @param {TileState} state */
  update({ name, microphone, camera, hand }) {
    const key = this.#screen ? (this.#self ? 'tile.ownScreen' : 'tile.screen') : this.#self ? 'tile.self' : 'tile.name';
    const label = t(key, { name });
    setText(this.#name, label);
    attribute(this.element, 'aria-label', label);
    setText(this.#avatar, initials(name));
    this.#muted.hidden = microphone || this.#screen;
    this.#hand.hidden = !hand || this.#screen;
    this.element.classList.toggle('no-picture', !camera && !this.#screen);
  }

  /** @param {MediaStreamTrack[]} tracks */
  show(tracks) {
    const shown = /** @type {MediaStream | null} */ (this.#video.srcObject);
    const same = shown !== null && shown.getTracks().length === tracks.length && tracks.every((track) => shown.getTracks().includes(track));
    if (same || (tracks.length === 0 && !shown)) return;
    this.#video.srcObject = tracks.length > 0 ? new MediaStream(tracks) : null;
  }

  remove() {
    this.#video.srcObject = null;
    this.element.remove();
  }
}
