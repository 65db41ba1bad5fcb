import { h } from './dom.js';
import { arrange } from './grid.js';
import { t } from './i18n.js';
import { Tile } from './tile.js';

/** @typedef {import('../sdk/index.js').Call} Call */

/** Everybody's picture, as large as there is room. */
export class Stage {
  element;
  #call;
  #grid = h('div', { class: 'grid' });
  #self = new Tile({ id: 'self', self: true });
  /** @type {Map<string, Tile>} cameras by peer */
  #tiles = new Map();
  /** @type {Map<string, Tile>} screens by peer, our own under `self` */
  #screens = new Map();
  #alone = h('div', { class: 'alone' },
    h('p', { class: 'alone-title' }, t('call.alone')),
    h('p', {}, t('call.aloneHint')),
    h('p', { class: 'link-text' }, h('bdi', { dir: 'ltr' }, `${location.origin}${location.pathname}`)));

  /** @param {Call} call */
  constructor(call) {
    this.#call = call;
    this.element = h('section', { class: 'stage', 'aria-label': t('call.stage') }, this.#grid, this.#alone);
    new ResizeObserver(() => this.#layout()).observe(this.element);
    call.on('joined', () => this.#render());
    call.on('left', () => this.#render());
    call.on('updated', () => this.#render());
    call.on('media', () => this.#render());
    call.on('self', () => this.#render());
    this.#render();
  }

  #render() {
    const { media, self, peers } = this.#call;
    const camera = media.camera;
    this.#self.update({
      name: self?.name ?? '', microphone: media.microphoneOn, camera: media.cameraOn, hand: this.#call.hand,
    });
    this.#self.show(camera ? [camera] : []);
    const shown = peers.filter(({ role }) => role !== 'viewer');
    for (const peer of shown) {
      const tile = take(this.#tiles, peer.id, () => new Tile({ id: peer.id }));
      tile.update(peer);
      tile.show(this.#call.streams(peer.id)?.main.getTracks() ?? []);
      const screen = this.#call.streams(peer.id)?.screen;
      if (peer.screen && screen) {
        const display = take(this.#screens, peer.id, () => new Tile({ id: peer.id, screen: true }));
        display.update(peer);
        display.show(screen.getTracks());
      } else drop(this.#screens, peer.id);
    }
    const there = new Set(shown.map(({ id }) => id));
    for (const tiles of [this.#tiles, this.#screens]) {
      for (const id of tiles.keys()) if (id !== 'self' && !there.has(id)) drop(tiles, id);
    }
    if (media.screen) {
      const display = take(this.#screens, 'self', () => new Tile({ id: 'self', self: true, screen: true }));
      display.update({ name: self?.name ?? '', microphone: true, camera: true, hand: false });
      display.show([media.screen]);
    } else drop(this.#screens, 'self');
    this.#layout();
  }

  #layout() {
    const others = [...this.#tiles.values()];
    const screens = [...this.#screens.values()];
    this.#alone.hidden = others.length > 0;
    // With one other person, the picture of oneself floats in a corner.
    const floating = others.length === 1 && screens.length === 0;
    this.#self.element.classList.toggle('floating', floating);
    const order = [...screens, ...others, this.#self].map(({ element }) => element);
    // Moving a video in the document stops it for a moment: only what is new is put in.
    order.forEach((element, index) => {
      if (this.#grid.children[index] !== element) this.#grid.insertBefore(element, this.#grid.children[index] ?? null);
    });
    this.element.classList.toggle('presenting', screens.length > 0);
    order.forEach((element, index) => element.classList.toggle('main', screens.length > 0 && index === 0));
    arrange(this.#grid, order.length - (floating ? 1 : 0), screens.length > 0);
  }
}

/**
 * @param {Map<string, Tile>} tiles
 * @param {string} id
 * @param {() => Tile} make
 */
function take(tiles, id, make) {
  let tile = tiles.get(id);
  if (!tile) tiles.set(id, (tile = make()));
  return tile;
}

/**
 * @param {Map<string, Tile>} tiles
 * @param {string} id
 */
function drop(tiles, id) {
  tiles.get(id)?.remove();
  tiles.delete(id);
}
