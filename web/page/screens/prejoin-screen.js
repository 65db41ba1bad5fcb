import { RefusedError } from '../../sdk/index.js';
import { DevicePicker } from '../devices/device-picker.js';
import { attribute, setText, h } from '../base/dom.js';
import { MeterBar } from '../devices/meter-bar.js';
import { deviceCauses, deviceProblems } from '../devices/device-problems.js';
import { t } from '../base/i18n.js';
import { logo } from '../widgets/icons.js';
import { initials } from '../base/names.js';
import { preferences, remember, savingLevel } from '../storage/preferences.js';
import { refusalText } from '../room/refusals.js';
import { at } from '../base/root.js';
import { ToggleButton } from '../widgets/toggle-button.js';

/** @typedef {import('../../sdk/local-media.js').LocalMedia} LocalMedia */

/** The screen before the call: preview, name and devices. */
export class PrejoinScreen {
  /** @type {HTMLElement} */
  element;
  #room;
  #media;
  #changed;
  #join;
  #name = h('input', {
    id: 'name', class: 'input', name: 'name', autocomplete: 'name', required: true, maxlength: 64, placeholder: t('prejoin.namePlaceholder'),
  });
  #password = h('input', { id: 'password', class: 'input', type: 'password', autocomplete: 'off', maxlength: 256 });
  #passwordField = h('div', { class: 'field', hidden: true }, h('label', { for: 'password' }, t('prejoin.password')), this.#password);
  #muted = h('input', { type: 'checkbox', id: 'join-muted', onchange: () => this.#setMicrophone(!this.#muted.checked) });
  #video = h('video', { autoplay: true, playsinline: true, class: 'mirrored' });
  #avatar = h('div', { class: 'avatar', 'aria-hidden': 'true' });
  #notes = h('div', { class: 'notes', role: 'status' });
  #problem = h('p', { class: 'problem', role: 'alert' });
  #progress = h('p', { class: 'hint', role: 'status' });
  #meter;
  #said = '';
  #button = h('button', { type: 'submit', class: 'button primary large' });
  #microphone = new ToggleButton({
    icons: ['mic', 'mic-off'], labels: ['dock.mute', 'dock.unmute'], toggle: (on) => this.#setMicrophone(on),
  });
  #camera = new ToggleButton({
    icons: ['camera', 'camera-off'], labels: ['dock.cameraOff', 'dock.cameraOn'], toggle: (on) => this.#setCamera(on),
  });

  /**
   * @param {object} options
   * @param {string} options.room
   * @param {string} options.title the room's displayed name
   * @param {import('../../sdk/protocol.js').Role} options.role a viewer needs no devices
   * @param {LocalMedia} options.media
   * @param {string} options.name the initial name
   * @param {(answers: {name: string, password?: string}) => Promise<void>} options.join
   * @param {boolean} options.opensDevices the devices are opened at once, as the user left them last time
   */
  constructor({ room, title, role, media, name, join, opensDevices }) {
    this.#room = room;
    this.#media = media;
    this.#join = join;
    this.#name.value = name;
    this.#video.muted = true;
    this.#meter = new MeterBar(media);
    setText(this.#button, t('prejoin.join'));
    const sends = role !== 'viewer';
    this.element = h('main', { class: `prejoin${sends ? '' : ' watching'}` },
      h('header', { class: 'prejoin-header' }, h('a', { href: at(), class: 'brand' }, logo(), 'Visavis')),
      sends && h('section', { class: 'preview', 'aria-label': t('prejoin.preview') },
        this.#avatar, this.#video,
        h('div', { class: 'preview-controls' }, this.#microphone.element, this.#camera.element)),
      h('form', { class: 'prejoin-form', onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
        h('h1', {}, t(`prejoin.title.${role}`)),
        h('p', { class: 'room-name' }, t('prejoin.room'), ' ', h('bdi', {}, title)),
        h('div', { class: 'field' }, h('label', { for: 'name' }, t('prejoin.name')), this.#name),
        this.#passwordField,
        ...(sends ? this.#devices() : []),
        this.#notes, this.#problem, this.#progress, this.#button));
    this.#changed = media.on('change', () => this.#render());
    this.#name.addEventListener('input', () => this.#render());
    this.#render();
    if (sends && opensDevices) void this.#open();
  }

  focus() {
    this.#name.focus();
    this.#meter.start();
  }

  /** The server cannot be reached; the client tries again. */
  unreachable() {
    setText(this.#progress, t('prejoin.unreachable'));
  }

  /** The screen is no longer shown. */
  close() {
    this.#meter.stop();
    this.#changed();
  }

  #devices() {
    const pickers = /** @type {const} */ (['camera', 'microphone']).map((kind) => new DevicePicker(this.#media, kind).element);
    return [h('div', { class: 'pickers' }, ...pickers), this.#meter.element,
      h('label', { class: 'switch', for: 'join-muted' }, this.#muted, h('span', { class: 'switch-track' }), t('prejoin.muted'))];
  }

  async #open() {
    // A device that the user switched off last time stays off.
    const { microphoneOn, cameraOn } = preferences;
    if (!microphoneOn) void this.#media.setMicrophone(false);
    // Whoever wants sound only switches the camera on by its button, if at all.
    await this.#media.open({ microphone: microphoneOn, camera: cameraOn && savingLevel() !== 'sound' });
  }

  /** @param {boolean} on */
  async #setMicrophone(on) {
    remember({ microphoneOn: on });
    await this.#media.setMicrophone(on);
  }

  /** @param {boolean} on */
  async #setCamera(on) {
    remember({ cameraOn: on });
    await this.#media.setCamera(on);
  }

  #render() {
    const { camera, microphoneOn, cameraOn } = this.#media;
    this.#video.hidden = !camera;
    const shown = /** @type {MediaStream | null} */ (this.#video.srcObject);
    if (shown?.getVideoTracks()[0] !== (camera ?? undefined)) {
      this.#video.srcObject = camera ? new MediaStream([camera]) : null;
    }
    setText(this.#avatar, initials(this.#name.value));
    this.#microphone.set(microphoneOn);
    this.#camera.set(cameraOn);
    this.#muted.checked = !microphoneOn;
    const notes = deviceProblems(this.#media, { joining: true });
    const said = notes.join('\n');
    if (said === this.#said) return;
    this.#said = said;
    const trouble = h('p', {}, h('a', { href: at('check'), target: '_blank', rel: 'noopener' }, t('check.link')));
    attribute(this.#notes, 'data-cause', deviceCauses(this.#media).join(' ') || null);
    this.#notes.replaceChildren(...notes.map((note) => h('p', {}, note)), ...(notes.length > 0 ? [trouble] : []));
  }

  /** @param {Event} event */
  async #submit(event) {
    event.preventDefault();
    const name = this.#name.value.trim();
    if (!name) return void (this.#problem.textContent = t('refused.name-invalid'));
    this.#button.disabled = true;
    setText(this.#problem, '');
    setText(this.#progress, t('prejoin.connecting'));
    try {
      await this.#join({ name, password: this.#password.value });
    } catch (error) {
      this.refused(error);
    } finally {
      setText(this.#progress, '');
      this.#button.disabled = false;
    }
  }

  /** Shows why the server refused the join. @param {unknown} error */
  refused(error) {
    const { code, ownOrigin, reason } = error instanceof RefusedError ? error : { code: 'internal', ownOrigin: undefined, reason: undefined };
    this.#problem.textContent = refusalText(code, { guessed: this.#password.value !== '', room: this.#room, ownOrigin, reason });
    if (code !== 'wrong-password') return;
    this.#passwordField.hidden = false;
    this.#password.focus();
  }
}
