import { ActiveSpeakers } from './active-speakers.js';
import { AloneNote } from './alone-note.js';
import { Crowd } from './crowd.js';
import { h } from '../../base/dom.js';
import { grid, strip } from './grid.js';
import { t } from '../../base/i18n.js';
import { Pager } from './pager.js';
import { PictureWait } from './picture-wait.js';
import { preferences } from '../../storage/preferences.js';
import { observeSize } from '../../widgets/size-observer.js';
import { SmallPicture } from './small-picture.js';
import { Steady } from '../../widgets/steady.js';
import { Tile } from './tile.js';

/**
 * @typedef {import('../../../sdk/index.js').Call} Call
 * @typedef {import('../../devices/sound-output.js').SoundOutput} SoundOutput
 */

const SELF = 'self';
const SETTLED_MS = 400;
/** The height of the pager, in pixels. */
const PAGER_PX = 52;

/** The tiles of all participants, as large as they fit. */
export class Stage {
  element;
  #call;
  #output;
  #grid = h('div', { class: 'grid' });
  #pager = new Pager(() => this.#layout());
  #crowd = new Crowd(SELF);
  #steady = new Steady(this.#grid);
  #waits;
  #small;
  #self;
  /** @type {Map<string, Tile>} cameras by peer */
  #tiles = new Map();
  /** @type {Map<string, Tile>} screens by peer, our own under `SELF` */
  #screens = new Map();
  /** @type {Tile | null} */
  #pinned = null;
  /** @type {string | null} */
  #loudest = null;
  #speakers;
  #unobserve;
  #unsave;
  #seen = () => {
    this.#attend();
    this.#resume();
  };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #attending;
  #alone = new AloneNote();

  /**
   * @param {Call} call
   * @param {SoundOutput} output
   */
  constructor(call, output) {
    this.#call = call;
    this.#output = output;
    const flip = matchMedia('(pointer: coarse)').matches ? () => void call.media.flipCamera() : undefined;
    this.#self = new Tile({ id: SELF, self: true, flip });
    this.element = h('section', { class: 'stage', 'aria-label': t('call.stage') }, this.#grid, this.#pager.element, this.#alone.element);
    this.#unobserve = observeSize(this.element, () => this.#layout());
    document.addEventListener('visibilitychange', this.#seen);
    // A microphone that the system gives back is often the only sign that the phone call is over.
    call.media.on('change', () => this.#resume());
    this.#unsave = call.saving.on('change', () => this.render());
    for (const event of /** @type {const} */ (['joined', 'left', 'updated', 'media', 'self', 'room', 'cause'])) call.on(event, () => this.render());
    const others = () => [...this.#tiles, ...[...this.#screens].filter(([id]) => id !== SELF)];
    this.#waits = new PictureWait(call, others);
    this.#small = new SmallPicture(call, others);
    this.#speakers = new ActiveSpeakers(call);
    this.#speakers.onchange = (speaking, loudest) => {
      for (const [id, tile] of this.#tiles) tile.setSpeaking(speaking.has(id));
      this.#crowd.heard(speaking);
      this.#loudest = loudest;
      this.#layout();
    };
    this.render();
  }

  /** Whether the picture of a peer is visible. @param {string} id */
  shows(id) {
    return this.#call.saving.wants(id) !== 'none' && (this.#tiles.get(id)?.size.width ?? 0) > 0;
  }

  /** @param {string} id @param {import('../../../sdk/quality.js').Level} level */
  setQuality(id, level) {
    this.#tiles.get(id)?.setQuality(level);
  }

  /** Keeps the picture of a peer large. @param {string} id */
  pin(id) {
    const tile = this.#tiles.get(id);
    if (tile && this.#pinned !== tile) this.#togglePin(tile);
  }

  render() {
    const { media, peers } = this.#call;
    this.#renderSelf();
    const watching = this.#watching;
    // A viewer sees only broadcasters whose media flows.
    const shown = peers.filter(({ role, live }) => role === 'participant' || (role === 'broadcaster' && (live || !watching)));
    for (const peer of shown) {
      const streams = this.#call.streams(peer.id);
      const wants = this.#call.saving.wants(peer.id);
      const saving = wants === 'none' ? 'off' : this.#call.saving.level === 'sound' ? 'shown' : null;
      const tile = this.#take(this.#tiles, peer.id, {});
      tile.setCause(this.#call.cause(peer.id));
      tile.update(peer);
      tile.setSaving(saving);
      tile.show(streams?.main.getTracks() ?? []);
      if (peer.screen && (streams?.screen || saving === 'off')) {
        const display = this.#take(this.#screens, peer.id, { screen: true });
        display.update(peer);
        display.setSaving(saving);
        display.show(streams?.screen?.getTracks() ?? []);
      } else this.#drop(this.#screens, peer.id);
    }
    const there = new Set(shown.map(({ id }) => id));
    for (const tiles of [this.#tiles, this.#screens]) {
      for (const id of tiles.keys()) if (id !== SELF && !there.has(id)) this.#drop(tiles, id);
    }
    if (media.screen) {
      const display = this.#take(this.#screens, SELF, { screen: true, self: true });
      display.update({ name: '', microphone: true, camera: true, hand: false });
      display.show([media.screen]);
    } else this.#drop(this.#screens, SELF);
    this.#layout();
  }

  close() {
    clearTimeout(this.#attending);
    document.removeEventListener('visibilitychange', this.#seen);
    this.#speakers.close();
    this.#waits.close();
    this.#small.close();
    this.#unobserve();
    this.#unsave();
  }

  #renderSelf() {
    const { media, self, hand } = this.#call;
    this.#self.update({ name: self?.name ?? '', microphone: media.microphoneOn, camera: media.cameraOn, hand });
    if (self) this.#self.setHue(self.id);
    this.#self.setWaiting(this.#call.held ? t('tile.held') : '');
    this.#self.setFacingAway(media.facing === 'environment');
    this.#self.show(media.camera ? [media.camera] : []);
  }

  get #watching() {
    return this.#call.self?.role === 'viewer';
  }

  /** The tile that is large, if one is. @returns {Tile | undefined} */
  #main() {
    const [screen] = this.#screens.values();
    if (this.#pinned) return this.#pinned;
    if (screen) return screen;
    if (preferences.layout !== 'speaker' || this.#tiles.size < 2) return undefined;
    const [first] = this.#tiles.values();
    return this.#tiles.get(this.#loudest ?? '') ?? first;
  }

  #layout() {
    const watching = this.#watching;
    const all = [...this.#screens.values(), ...this.#tiles.values(), ...(watching ? [] : [this.#self])];
    this.element.classList.toggle('watching', watching);
    if (watching) this.#self.element.remove();
    const main = this.#main();
    const { self, room } = this.#call;
    this.#alone.update({ role: self?.role ?? 'participant', others: this.#tiles.size, viewers: room?.viewers ?? 0 });
    // With one other person, the user's own picture floats in a corner.
    const floating = !watching && this.#tiles.size === 1 && this.#screens.size === 0;
    this.#self.element.classList.toggle('floating', floating);
    // Moving a video in the document interrupts it, so only new tiles are inserted.
    all.forEach(({ element }, index) => {
      if (this.#grid.children[index] !== element) this.#grid.insertBefore(element, this.#grid.children[index] ?? null);
    });
    const emphasised = main !== undefined && !floating;
    for (const tile of all) tile.element.classList.toggle('main', emphasised && tile === main);
    this.#place(floating ? all.filter((tile) => tile !== this.#self) : all, emphasised ? main : undefined);
    if (floating) this.#self.place(null);
    clearTimeout(this.#attending);
    this.#attending = setTimeout(() => this.#attend(), SETTLED_MS);
  }

  /**
   * @param {Tile[]} tiles that share the stage
   * @param {Tile} [main] the large one
   */
  #place(tiles, main) {
    const { width, height } = this.element.getBoundingClientRect();
    if (width === 0 || height === 0) return;
    const arrangement = main && tiles.length > 1 ? strip : grid;
    const whole = arrangement(width, height);
    const paged = tiles.length > whole.perPage;
    const { perPage, place } = paged ? arrangement(width, height - PAGER_PX) : whole;
    const fixed = main ? 1 : 0;
    const places = perPage - fixed;
    const paging = main ? tiles.filter((tile) => tile !== main) : tiles;
    this.#pager.pages = Math.max(1, Math.ceil(paging.length / places));
    const ordered = this.#ordered(paging, places);
    const begin = this.#pager.page * places;
    const shown = [...(main ? [main] : []), ...ordered.slice(begin, begin + places)];
    const there = new Set(shown);
    const rectangles = place(shown.length);
    let moved = false;
    shown.forEach((tile, index) => {
      moved = tile.place(rectangles[index] ?? null) || moved;
    });
    for (const tile of tiles) tile.element.hidden = !there.has(tile);
    if (moved) this.#steady.moved();
  }

  /** @param {Tile[]} tiles @param {number} perPage */
  #ordered(tiles, perPage) {
    const byKey = new Map(tiles.map((tile) => [tile.key, tile]));
    const first = new Set(tiles.filter(({ comesFirst }) => comesFirst).map(({ key }) => key));
    const held = this.#grid.querySelector('.tile-actions:hover') !== null;
    return this.#crowd.arrange([...byKey.keys()], first, perPage, held).map((key) => /** @type {Tile} */ (byKey.get(key)));
  }

  #resume() {
    if (document.visibilityState !== 'visible') return;
    void this.#output.resume();
    this.#self.resume();
  }

  /** Lets the media server know how large the pictures are, and whom the user wants to hear in any case. */
  #attend() {
    for (const [id, tile] of this.#tiles) if (id !== SELF) this.#call.prefer(id, tile === this.#pinned);
    for (const [source, tiles] of /** @type {const} */ ([['camera', this.#tiles], ['screen', this.#screens]])) {
      for (const [id, { size }] of tiles) if (id !== SELF) this.#call.attend(id, source, size);
    }
  }

  /** @param {Tile} tile */
  #togglePin(tile) {
    this.#pinned?.setPinned(false);
    this.#pinned = this.#pinned === tile ? null : tile;
    this.#pinned?.setPinned(true);
    this.#layout();
  }

  /**
   * @param {Map<string, Tile>} tiles
   * @param {string} id
   * @param {{screen?: boolean, self?: boolean}} kind
   */
  #take(tiles, id, kind) {
    const known = tiles.get(id);
    if (known) return known;
    const others = { pin: () => this.#togglePin(tile), save: () => this.#call.saving.show(id, this.#call.saving.wants(id) === 'none') };
    /** @type {Tile} */
    const tile = new Tile({ id, ...kind, output: this.#output, ...(kind.self ? {} : others) });
    tiles.set(id, tile);
    return tile;
  }

  /**
   * @param {Map<string, Tile>} tiles
   * @param {string} id
   */
  #drop(tiles, id) {
    const tile = tiles.get(id);
    if (!tile) return;
    if (this.#pinned === tile) this.#pinned = null;
    tile.remove();
    tiles.delete(id);
  }
}
