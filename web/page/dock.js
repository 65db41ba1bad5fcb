import { h } from './dom.js';
import { t } from './i18n.js';
import { icon } from './icons.js';
import { remember } from './preferences.js';
import { ToggleButton } from './toggle-button.js';

/**
 * @typedef {import('../sdk/index.js').Call} Call
 * @typedef {import('./side-panel.js').SidePanel} SidePanel
 */

/** The row of buttons below the call. */
export class Dock {
  element;
  #call;
  #microphone = new ToggleButton({
    icons: ['mic', 'mic-off'], labels: ['dock.mute', 'dock.unmute'], toggle: (on) => this.#setMicrophone(on),
  });
  #camera = new ToggleButton({
    icons: ['camera', 'camera-off'], labels: ['dock.cameraOff', 'dock.cameraOn'], toggle: (on) => this.#setCamera(on),
  });
  #screen = button('screen', 'dock.share', () => this.#share());
  #chat;
  #unread = h('span', { class: 'unread', id: 'unread', hidden: true });

  /**
   * @param {Call} call
   * @param {SidePanel} panel
   */
  constructor(call, panel) {
    this.#call = call;
    this.#chat = button('chat', 'dock.chat', () => panel.toggle('chat'));
    this.#chat.setAttribute('aria-describedby', 'unread');
    this.#screen.hidden = !call.media.canShareScreen;
    const leave = button('leave', 'dock.leave', () => call.leave());
    leave.classList.add('leave');
    panel.onchange = (open) => this.#chat.setAttribute('aria-expanded', String(open === 'chat'));
    this.#chat.setAttribute('aria-expanded', 'false');
    this.element = h('nav', { class: 'dock', 'aria-label': t('dock.label') },
      this.#microphone.element, this.#camera.element, this.#screen,
      h('span', { class: 'with-badge' }, this.#chat, this.#unread), leave);
    call.media.on('change', () => this.#render());
    this.#render();
  }

  focus() {
    this.#microphone.element.focus();
  }

  /** @param {number} count of chat lines that nobody has looked at */
  setUnread(count) {
    this.#unread.hidden = count === 0;
    this.#unread.textContent = count > 9 ? '9+' : String(count);
  }

  #render() {
    const { microphoneOn, cameraOn, screenOn } = this.#call.media;
    this.#microphone.set(microphoneOn);
    this.#camera.set(cameraOn);
    name(this.#screen, t(screenOn ? 'dock.unshare' : 'dock.share'));
    this.#screen.classList.toggle('active', screenOn);
  }

  /** @param {boolean} on */
  #setMicrophone(on) {
    remember({ microphoneOn: on });
    void this.#call.media.setMicrophone(on);
  }

  /** @param {boolean} on */
  #setCamera(on) {
    remember({ cameraOn: on });
    void this.#call.media.setCamera(on);
  }

  #share() {
    const { media } = this.#call;
    if (media.screenOn) media.stopScreen();
    else void media.shareScreen();
  }
}

/**
 * @param {import('./icons.js').IconName} picture
 * @param {string} key of its name
 * @param {() => void} pressed
 */
function button(picture, key, pressed) {
  const element = h('button', { type: 'button', class: 'round', onclick: pressed }, icon(picture));
  name(element, t(key));
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {string} text
 */
function name(element, text) {
  element.setAttribute('aria-label', text);
  element.title = text;
}
