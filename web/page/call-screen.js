import { Banner } from './banner.js';
import { ChatPanel } from './chat-panel.js';
import { Dock } from './dock.js';
import { h, setText } from './dom.js';
import { t } from './i18n.js';
import { logo } from './icons.js';
import { LinkButton } from './link-button.js';
import { SidePanel } from './side-panel.js';
import { Stage } from './stage.js';
import { Toasts } from './toasts.js';
import { deviceProblems } from './device-problems.js';

/** @typedef {import('../sdk/index.js').Call} Call */

/** The call itself: who is there, what one can do, what is said. */
export class CallScreen {
  /** @type {HTMLElement} */
  element;
  #call;
  #toasts = new Toasts();
  #count = h('span', { class: 'count' });
  #panel = new SidePanel();
  #dock;

  /** @param {Call} call */
  constructor(call) {
    this.#call = call;
    const stage = new Stage(call);
    const chat = new ChatPanel(call, this.#toasts);
    this.#panel.add('chat', chat);
    this.#dock = new Dock(call, this.#panel);
    chat.onunread = (unread) => this.#dock.setUnread(unread);
    this.element = h('div', { class: 'call' },
      h('header', { class: 'call-header' },
        h('a', { class: 'brand', href: '/', target: '_blank', rel: 'noopener', 'aria-label': 'Visavis' }, logo(), h('span', {}, 'Visavis')),
        h('h1', { class: 'room-name' }, h('bdi', {}, call.room?.id ?? '')),
        this.#count,
        new LinkButton(this.#toasts).element),
      new Banner(call).element,
      h('main', { class: 'call-body' }, stage.element, this.#panel.element),
      this.#dock.element,
      this.#toasts.element);
    call.on('joined', ({ name }) => this.#arrived('call.joined', name));
    call.on('left', ({ peer }) => this.#arrived('call.left', peer.name));
    call.media.on('problem', () => deviceProblems(call.media).forEach((text) => this.#toasts.show(text)));
    this.#render();
    for (const text of deviceProblems(call.media)) this.#toasts.show(text);
  }

  focus() {
    this.#dock.focus();
  }

  /**
   * @param {string} key
   * @param {string} name
   */
  #arrived(key, name) {
    this.#toasts.show(t(key, { name }));
    this.#render();
  }

  #render() {
    setText(this.#count, t('call.people', { count: this.#call.peers.length + 1 }));
  }
}
