import { RefusedError } from '../../../sdk/index.js';
import { h } from '../../base/dom.js';
import { t, timeOfDay } from '../../base/i18n.js';
import { icon } from '../../widgets/icons.js';
import { withLinks } from './rich-text.js';
import { Steady } from '../../widgets/steady.js';

/**
 * @typedef {import('../../../sdk/index.js').Call} Call
 * @typedef {import('../../../sdk/call.js').ChatLine} ChatLine
 */

/** The chat of the room. */
export class ChatPanel {
  element;
  title = t('chat.title');
  /** @type {(unread: number) => void} */
  onunread = () => {};
  #call;
  #toasts;
  #open = false;
  #unread = 0;
  /** Lines that are shown. @type {Set<number>} */
  #seen = new Set();
  /** When this page first joined; earlier messages are not counted as unread. */
  #since;
  /** @type {Map<string, string>} names of those who wrote, who may have left since */
  #names = new Map();
  #empty = h('p', { class: 'empty' }, t('chat.empty'));
  #log = h('div', { class: 'chat-log', role: 'log', 'aria-label': t('chat.log'), tabindex: 0 }, this.#empty);
  #steady = new Steady(this.#log);
  #text = h('textarea', {
    class: 'input', rows: 1, maxlength: 4000, 'aria-label': t('chat.message'), placeholder: t('chat.placeholder'),
    onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
  });

  /**
   * @param {Call} call
   * @param {import('../notices/toasts.js').Toasts} toasts
   */
  constructor(call, toasts) {
    this.#call = call;
    this.#toasts = toasts;
    this.#since = Date.parse(call.self?.joinedAt ?? '') || 0;
    const send = h('button', { type: 'submit', class: 'round small primary', 'aria-label': t('chat.send'), title: t('chat.send') }, icon('send'));
    // Pressing the button would take the focus from the field and hide the keyboard.
    send.addEventListener('pointerdown', (event) => event.preventDefault());
    send.addEventListener('mousedown', (event) => event.preventDefault());
    const submit = (/** @type {Event} */ event) => (event.preventDefault(), void this.#send());
    this.element = h('div', { class: 'chat' }, this.#log, h('form', { class: 'chat-form', onsubmit: submit }, this.#text, send));
    for (const { id, name } of call.peers) this.#names.set(id, name);
    call.on('joined', ({ id, name }) => this.#names.set(id, name));
    call.on('updated', ({ id, name }) => this.#names.set(id, name));
    call.on('chat', (line) => this.#add(line));
  }

  opened() {
    this.#open = true;
    this.#unread = 0;
    this.onunread(0);
    this.#text.focus();
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  closed() {
    this.#open = false;
  }

  /** @param {ChatLine} line */
  #add(line) {
    // A client that joins again receives the last lines again.
    if (line.id !== undefined && this.#seen.has(line.id)) return;
    if (line.id !== undefined) this.#seen.add(line.id);
    const own = line.from === this.#call.self?.id;
    const name = own ? t('chat.you') : (line.name ?? this.#names.get(line.from) ?? t('chat.somebody'));
    const atEnd = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < 40;
    this.#empty.remove();
    this.#log.append(
      h('article', { class: `line${own ? ' own' : ''}${line.to ? ' private' : ''}` },
        h('p', { class: 'line-head' }, h('b', { dir: 'auto' }, name), line.to ? h('span', { class: 'line-private' }, this.#privacy(line, own)) : null,
          h('time', { datetime: line.at }, timeOfDay(new Date(line.at)))),
        h('p', { class: 'line-text', dir: 'auto' }, ...withLinks(line.text))));
    if (atEnd || own) {
      this.#log.scrollTop = this.#log.scrollHeight;
      this.#steady.moved();
    }
    const at = Date.parse(line.at);
    if (this.#open || own || at < this.#since) return;
    this.onunread(++this.#unread);
    if (at < Date.parse(this.#call.self?.joinedAt ?? '')) return;
    this.#toasts.show(t(line.to ? 'chat.fromPrivately' : 'chat.from', { name, text: line.text.slice(0, 120) }));
  }

  /** Who can read a private line. @param {ChatLine} line @param {boolean} own */
  #privacy({ to = '' }, own) {
    return own ? t('chat.privateTo', { name: this.#names.get(to) ?? t('chat.somebody') }) : t('chat.private');
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    void this.#send();
  }

  async #send() {
    const text = this.#text.value.trim();
    if (!text) return;
    this.#text.value = '';
    try {
      await this.#call.chat(text);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      this.#text.value ||= text;
      this.#toasts.show(t('chat.failed'));
    }
  }
}
