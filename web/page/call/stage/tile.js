import { attribute, h, setText } from '../../base/dom.js';
import { iconButton, nameButton } from '../../widgets/buttons.js';
import { t } from '../../base/i18n.js';
import { icon } from '../../widgets/icons.js';
import { hueOf, initials } from '../../base/names.js';
import { showTileMenu } from './tile-menu.js';

/**
 * @typedef {object} TileState
 * @property {string} name
 * @property {boolean} microphone
 * @property {boolean} camera
 * @property {boolean} hand
 * @property {boolean} [away] the connection of the person is lost
 *
 * @typedef {object} TileOptions
 * @property {string} id the peer's id, or another name for the user's own tile
 * @property {boolean} [self] our own picture
 * @property {boolean} [screen] a screen, not a camera
 * @property {import('../../devices/sound-output.js').SoundOutput} [output] where its sound goes
 * @property {() => void} [pin] to keep it large
 * @property {() => void} [save] to show its picture although there is only sound, or no longer
 * @property {() => void} [flip] to the other camera
 */

/** A tile narrower than this has one button for all, in pixels. */
const SMALL_PX = 200;

/** One participant's camera or screen with a label. */
export class Tile {
  /** @type {HTMLElement} */
  element;
  #self;
  #screen;
  #output;
  #video = h('video', { autoplay: true, playsinline: true });
  #avatar = h('div', { class: 'avatar', 'aria-hidden': 'true' });
  #name = h('span', { class: 'tile-name' });
  #muted = h('span', { class: 'tile-badge', role: 'img', 'aria-label': t('tile.muted') }, icon('mic-off'));
  #quality = h('span', { class: 'tile-quality', role: 'img', hidden: true }, h('i', {}), h('i', {}), h('i', {}));
  #notice = h('span', { class: 'tile-notice', hidden: true });
  #small = h('span', { class: 'tile-small', hidden: true });
  #saved = h('span', {}, t('tile.saved'));
  #save;
  #isSaved = false;
  #away = false;
  #camera = false;
  #waiting = '';
  /** @type {import('../../../sdk/index.js').Cause | null} */
  #cause = null;
  /** @type {import('../../../sdk/quality.js').Level | null} */
  #level = null;
  #hand = h('span', { class: 'tile-hand', role: 'img', 'aria-label': t('tile.hand') }, icon('hand'));
  /** @type {HTMLButtonElement | null} */
  #pin = null;
  /** @type {HTMLButtonElement | null} */
  #pip = null;
  /** @type {HTMLButtonElement | null} */
  #more = null;
  #label = '';
  #place = '';
  /** The id of the tile. @type {string} */
  key;
  /** Whether it precedes others: a screen, or somebody with a raised hand. */
  comesFirst = false;

  /** @param {TileOptions} options */
  constructor({ id, self = false, screen = false, output, pin, save, flip }) {
    this.key = screen ? `screen ${id}` : id;
    this.#self = self;
    this.#screen = screen;
    this.#output = self ? undefined : output;
    // The user must not hear their own voice.
    this.#video.muted = self;
    this.#video.classList.toggle('mirrored', self && !screen);
    this.setHue(id);
    this.#save = h('div', { class: 'tile-saved', hidden: true }, this.#saved, h('button', { type: 'button', class: 'tile-show', onclick: save }));
    this.element = h('article', { class: `tile${self ? ' self' : ''}${screen ? ' screen' : ''}` },
      this.#avatar, this.#video, this.#notice, this.#small, this.#hand,
      h('div', { class: 'tile-label' }, this.#muted, this.#name, this.#quality),
      save ? this.#save : null,
      h('div', { class: 'tile-actions' }, ...this.#actions(pin, flip)));
    if (!self) this.element.dataset.peer = id;
    if (!self) this.element.dataset.source = this.source;
  }

  /** @param {TileState} state */
  update({ name, microphone, camera, hand, away = false }) {
    const key = this.#screen ? (this.#self ? 'tile.ownScreen' : 'tile.screen') : this.#self ? 'tile.self' : 'tile.name';
    this.#label = t(key, { name });
    setText(this.#name, this.#label);
    // A bare name keeps its own direction; a sentence with a name has the direction of the page.
    attribute(this.#name, 'dir', key === 'tile.name' ? 'auto' : null);
    attribute(this.element, 'aria-label', this.#label);
    setText(this.#avatar, initials(name));
    this.#muted.hidden = microphone || this.#screen;
    this.comesFirst = hand || this.#screen;
    this.#hand.hidden = !hand || this.#screen;
    this.#away = away;
    this.#camera = camera;
    this.#renderPicture();
    // The quality before the interruption does not count afterwards.
    if (away) this.#level = null;
    if (away) this.setSpeaking(false);
    this.#renderConnection();
    this.#nameButtons();
  }

  /**
   * Whether its picture is off to save data, or shown all the same; null if no data is to be saved.
   *
   * @param {'off' | 'shown' | null} saving
   */
  setSaving(saving) {
    this.#isSaved = saving === 'off';
    const isOn = this.#camera || this.#screen;
    this.#save.hidden = saving === null || !isOn;
    this.#save.classList.toggle('shown', saving === 'shown');
    this.#saved.hidden = saving === 'shown';
    const button = this.#save.querySelector('button');
    if (button) {
      setText(button, t(saving === 'shown' ? 'tile.hidePicture' : 'tile.showPicture'));
      attribute(button, 'aria-label', `${button.textContent}: ${this.#label}`);
    }
    this.#renderPicture();
  }

  #renderPicture() {
    const hasPicture = (this.#camera || this.#screen) && !this.#isSaved;
    this.element.classList.toggle('no-picture', !hasPicture);
    if (this.#pip) this.#pip.hidden = !hasPicture;
  }

  /** The colour of its avatar goes by the peer's id. @param {string} id */
  setHue(id) {
    attribute(this.#avatar, 'data-hue', hueOf(id));
  }

  /**
   * Positions it on the stage; `null` leaves that to the style sheet.
   *
   * @param {import('./grid.js').Rectangle | null} rectangle
   * @returns {boolean} whether it has moved
   */
  place(rectangle) {
    const place = rectangle ? `${rectangle.x} ${rectangle.y} ${rectangle.width} ${rectangle.height}` : '';
    if (place === this.#place) return false;
    this.#place = place;
    this.element.classList.toggle('small', rectangle !== null && rectangle.width < SMALL_PX);
    const { style } = this.element;
    for (const name of /** @type {const} */ (['x', 'y', 'width', 'height'])) {
      if (rectangle) style.setProperty(`--${name}`, `${rectangle[name]}px`);
      else style.removeProperty(`--${name}`);
    }
    return true;
  }

  /** @param {MediaStreamTrack[]} tracks */
  show(tracks) {
    const shown = /** @type {MediaStream | null} */ (this.#video.srcObject);
    const same = shown !== null && shown.getTracks().length === tracks.length && tracks.every((track) => shown.getTracks().includes(track));
    if (same || (tracks.length === 0 && !shown)) return;
    this.#video.srcObject = tracks.length > 0 ? new MediaStream(tracks) : null;
    void this.#output?.add(this.#video);
  }

  /** Resumes a video that the system paused. `SoundOutput` takes care of sound. */
  resume() {
    if (this.#video.paused && this.#video.srcObject) void this.#video.play().catch(() => {});
  }

  /** @param {import('../../../sdk/quality.js').Level} level from nothing arrives to all well */
  setQuality(level) {
    if (this.#away) return;
    this.#level = level;
    this.#renderConnection();
  }

  /** Bars if there is a connection, a word if there is none. */
  #renderConnection() {
    const level = this.#level;
    const isLost = this.#away || level === 'none';
    this.#quality.hidden = this.#screen || isLost || level === null;
    if (level !== null) {
      this.#quality.dataset.level = String(level);
      attribute(this.#quality, 'aria-label', t(`quality.${level}`));
    }
    this.element.classList.toggle('away', this.#away);
    this.element.classList.toggle('no-connection', isLost);
    attribute(this.element, 'data-cause', this.#away ? null : this.#cause);
    const notice = this.#away ? t('tile.away') : this.#cause ? t(`cause.${this.#cause}`) : isLost ? t('quality.none') : this.#waiting;
    this.#notice.hidden = notice === '';
    setText(this.#notice, notice);
  }

  /** Whether it should have a picture. */
  get expectsPicture() {
    return (this.#camera || this.#screen) && !this.#isSaved && !this.#away && !this.element.hidden;
  }

  /** Whether a picture is expected and none has arrived yet. */
  get lacksPicture() {
    return this.expectsPicture && (this.#video.videoWidth === 0 || this.#video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA);
  }

  /** The picture's track, if there is one. */
  get track() {
    const shown = /** @type {MediaStream | null} */ (this.#video.srcObject);
    return shown?.getVideoTracks()[0] ?? null;
  }

  /** Shows why the picture is missing; empty once it is there. @param {string} text */
  setWaiting(text) {
    if (text === this.#waiting) return;
    this.#waiting = text;
    this.#renderConnection();
  }

  /** Shows why the picture is small; empty once it no longer is. @param {string} text */
  setSmall(text) {
    this.#small.hidden = text === '';
    setText(this.#small, text);
  }

  /** Shows why nothing arrives; null once it does. @param {import('../../../sdk/index.js').Cause | null} cause */
  setCause(cause) {
    if (cause === this.#cause) return;
    this.#cause = cause;
    this.#renderConnection();
  }

  /** @param {boolean} on */
  setSpeaking(on) {
    this.element.classList.toggle('speaking', on);
  }

  /** @param {boolean} on */
  setPinned(on) {
    this.element.classList.toggle('pinned', on);
    this.#pin?.setAttribute('aria-pressed', String(on));
  }

  /** @param {boolean} away the picture is of a camera that looks away, which is not mirrored */
  setFacingAway(away) {
    this.#video.classList.toggle('mirrored', this.#self && !this.#screen && !away);
  }

  /** What it shows. @returns {'screen' | 'camera'} */
  get source() {
    return this.#screen ? 'screen' : 'camera';
  }

  /** The factor by which the whole picture is enlarged to fill the tile; 0 while nobody can see it. */
  get enlargement() {
    const { width, height } = this.size;
    const { videoWidth, videoHeight } = this.#video;
    return videoWidth > 0 && videoHeight > 0 ? Math.min(width / videoWidth, height / videoHeight) : 0;
  }

  /** How large the tile is, in device pixels; zero while nobody can see it. */
  get size() {
    const seen = document.visibilityState === 'visible' || document.pictureInPictureElement === this.#video;
    const shown = seen ? devicePixelRatio : 0;
    return { width: Math.round(this.element.clientWidth * shown), height: Math.round(this.element.clientHeight * shown) };
  }

  remove() {
    this.#output?.remove(this.#video);
    this.#video.srcObject = null;
    this.element.remove();
  }

  /**
   * @param {(() => void) | undefined} pin
   * @param {(() => void) | undefined} flip
   */
  #actions(pin, flip) {
    const look = 'round tiny';
    if (pin) this.#pin = iconButton('pin', 'tile.pinNamed', pin, look);
    if (!this.#self && document.pictureInPictureEnabled) this.#pip = iconButton('pip', 'tile.pipNamed', () => void this.#pictureInPicture(), `${look} pip`);
    const flipButton = flip ? iconButton('flip', 'tile.flip', flip, look) : null;
    const buttons = [flipButton, this.#pip, this.#pin].filter((button) => button !== null);
    if (buttons.length < 2) return buttons;
    this.#more = iconButton('more', 'tile.moreNamed', () => showTileMenu(this.#label, buttons), `${look} more`);
    return [...buttons, this.#more];
  }

  #nameButtons() {
    const name = this.#label;
    if (this.#pin) nameButton(this.#pin, t('tile.pinNamed', { name }));
    if (this.#pip) nameButton(this.#pip, t('tile.pipNamed', { name }));
    if (this.#more) nameButton(this.#more, t('tile.moreNamed', { name }));
  }

  async #pictureInPicture() {
    try {
      if (document.pictureInPictureElement === this.#video) await document.exitPictureInPicture();
      else await this.#video.requestPictureInPicture();
    } catch {
      // No frame has arrived yet, or the system has no such window.
    }
  }
}
