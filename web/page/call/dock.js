import { h } from '../base/dom.js';
import { hidden } from '../room/embedding.js';
import { iconButton, nameButton } from '../widgets/buttons.js';
import { t } from '../base/i18n.js';
import { remember } from '../storage/preferences.js';
import { ReactionButton } from './reaction-button.js';
import { Steady } from '../widgets/steady.js';
import { ToggleButton } from '../widgets/toggle-button.js';

/**
 * @typedef {import('../../sdk/index.js').Call} Call
 * @typedef {import('./panels/side-panel.js').SidePanel} SidePanel
 */

/** The row of buttons below the call. */
export class Dock {
  element;
  #call;
  #microphone = new ToggleButton({
    icons: ['mic', 'mic-off'], labels: ['dock.mute', 'dock.unmute'], toggle: () => this.toggleMicrophone(),
  });
  #camera = new ToggleButton({
    icons: ['camera', 'camera-off'], labels: ['dock.cameraOff', 'dock.cameraOn'], toggle: () => this.toggleCamera(),
  });
  #screen = iconButton('screen', 'dock.share', () => this.#share());
  #hand = iconButton('hand', 'dock.hand', () => this.toggleHand());
  #reactions;
  #people;
  #steady;
  #sent = true;
  #chat;
  #unread = h('span', { class: 'unread', id: 'unread', hidden: true });
  #waiting = h('span', { class: 'unread', id: 'waiting', hidden: true });

  /**
   * @param {Call} call
   * @param {SidePanel} panel
   */
  constructor(call, panel) {
    this.#call = call;
    this.#reactions = new ReactionButton(call);
    this.#people = iconButton('people', 'dock.people', () => panel.toggle('people'));
    this.#chat = iconButton('chat', 'dock.chat', () => panel.toggle('chat'));
    this.#people.setAttribute('aria-describedby', 'waiting');
    this.#chat.setAttribute('aria-describedby', 'unread');
    const leave = iconButton('leave', 'dock.leave', () => call.leave(), 'round leave');
    panel.onchange = (open) => {
      this.#people.setAttribute('aria-expanded', String(open === 'people'));
      this.#chat.setAttribute('aria-expanded', String(open === 'chat'));
    };
    panel.onchange(null);
    panel.onreturn = (closed) => (closed === 'chat' ? this.#chat : this.#people).focus();
    this.element = h('nav', { class: 'dock', 'aria-label': t('dock.label') },
      this.#microphone.element, this.#camera.element, this.#screen, this.#hand, this.#reactions.element,
      h('span', { class: 'with-badge' }, this.#people, this.#waiting),
      !hidden.chat && h('span', { class: 'with-badge' }, this.#chat, this.#unread), leave);
    this.#steady = new Steady(this.element);
    call.media.on('change', () => this.#render());
    call.on('self', () => this.#render());
    this.#render();
  }

  focus() {
    (this.#sends ? this.#microphone.element : this.#hand).focus();
  }

  /** @returns {boolean} whether a menu was open */
  closeMenu() {
    return this.#reactions.close();
  }

  /** @param {number} count of unread chat lines */
  setUnread(count) {
    badge(this.#unread, count);
  }

  /** @param {number} count of people in the lobby */
  setWaiting(count) {
    badge(this.#waiting, count);
  }

  /** Viewers send nothing. */
  get #sends() {
    return this.#call.self?.role !== 'viewer';
  }

  toggleMicrophone() {
    if (!this.#sends) return;
    const on = !this.#call.media.microphoneOn;
    remember({ microphoneOn: on });
    void this.#call.media.setMicrophone(on);
  }

  toggleCamera() {
    if (!this.#sends) return;
    const on = !this.#call.media.cameraOn;
    remember({ cameraOn: on });
    void this.#call.media.setCamera(on);
  }

  toggleHand() {
    this.#call.raiseHand(!this.#call.hand);
  }

  #render() {
    const { media, hand } = this.#call;
    // The dock's buttons appear and disappear, which moves the others.
    if (this.#sent !== this.#sends) this.#steady.moved();
    this.#sent = this.#sends;
    for (const { element } of [this.#microphone, this.#camera]) element.hidden = !this.#sends;
    this.#screen.hidden = !this.#sends || !media.canShareScreen;
    this.#microphone.set(media.microphoneOn);
    this.#camera.set(media.cameraOn);
    nameButton(this.#screen, t(media.screenOn ? 'dock.unshare' : 'dock.share'));
    this.#screen.classList.toggle('active', media.screenOn);
    nameButton(this.#hand, t(hand ? 'dock.lowerHand' : 'dock.hand'));
    this.#hand.classList.toggle('active', hand);
  }

  #share() {
    const { media } = this.#call;
    if (media.screenOn) media.stopScreen();
    else void media.shareScreen();
  }
}

/**
 * @param {HTMLElement} element
 * @param {number} count
 */
function badge(element, count) {
  element.hidden = count === 0;
  element.textContent = count > 9 ? '9+' : String(count);
}
