import { HostPowers, Ringing } from '../../sdk/index.js';
import { BackGuard } from './back-guard.js';
import { Banner } from './notices/banner.js';
import { Captions } from './captions.js';
import { ChatPanel } from './panels/chat-panel.js';
import { ConfirmDialog } from '../widgets/confirm-dialog.js';
import { closeDialog } from '../widgets/dialog.js';
import { Dock } from './dock.js';
import { deviceProblems, deviceSubstitutions } from '../devices/device-problems.js';
import { attribute, h, setText } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { icon, logo } from '../widgets/icons.js';
import { Keyboard } from './keyboard.js';
import { Knocks } from './notices/knocks.js';
import { LayoutButton } from './layout-button.js';
import { LinkButton } from './link-button.js';
import { MutedHint } from './notices/muted-hint.js';
import { Notices } from './notices/notices.js';
import { OwnCause } from './notices/own-cause.js';
import { PeoplePanel } from './panels/people-panel.js';
import { QualityLoop } from './quality-loop.js';
import { Reactions } from './reactions.js';
import { RecordingNotice } from './notices/recording-notice.js';
import { hidden } from '../room/embedding.js';
import { refusalText } from '../room/refusals.js';
import { titleOf } from '../room/room-title.js';
import { at } from '../base/root.js';
import { RingBar } from './notices/ring-bar.js';
import { SettingsDialog } from './settings-dialog.js';
import { listenToShortcuts } from './shortcuts.js';
import { SilencedNote } from './notices/silenced-note.js';
import { SidePanel } from './panels/side-panel.js';
import { SoundOutput } from '../devices/sound-output.js';
import { SoundPrompt } from './notices/sound-prompt.js';
import { Stage } from './stage/stage.js';
import { StatsOverlay } from './stats-overlay.js';
import { Toasts } from './notices/toasts.js';
import { iconButton } from '../widgets/buttons.js';
import { WakeLock } from './wake-lock.js';

/** @typedef {import('../../sdk/index.js').Call} Call */

/** The screen of a call: stage, controls, panels and notices. */
export class CallScreen {
  /** @type {HTMLElement} */
  element;
  #call;
  #toasts = new Toasts();
  #title = h('h1', { class: 'room-name', dir: 'auto' });
  #count = h('span', { class: 'count' });
  #viewers = h('span', {});
  #watched = h('span', { class: 'watched', role: 'img', hidden: true }, icon('eye'), this.#viewers);
  #live = h('span', { class: 'live-badge', role: 'status', hidden: true }, t('broadcast.live'));
  #recording;
  #panel = new SidePanel();
  #confirm;
  #host;
  #ringing;
  #dock;
  #stage;
  #settings;
  #stats;
  #quality;

  /** @param {Call} call */
  constructor(call) {
    this.#call = call;
    this.#recording = new RecordingNotice(call, this.#toasts);
    const output = new SoundOutput();
    output.onsubstituted = () => this.#toasts.show(t('devices.speaker.replaced'));
    this.#host = new HostPowers(call);
    this.#ringing = new Ringing(call);
    const prompt = new SoundPrompt(output);
    this.#stage = new Stage(call, output);
    this.#quality = new QualityLoop(call, (id) => this.#stage.shows(id));
    this.#stats = new StatsOverlay(call, this.#quality);
    this.#settings = new SettingsDialog(call, output);
    const chat = new ChatPanel(call, this.#toasts);
    this.#panel.add('chat', chat);
    const confirm = (this.#confirm = new ConfirmDialog());
    const attempt = (/** @type {Promise<void>} */ action) => void this.#attempt(action);
    this.#panel.add('people', new PeoplePanel(call, this.#host, this.#ringing, { attempt, confirm }));
    this.#dock = new Dock(call, this.#panel);
    const moved = () => notices.moved();
    const knocks = new Knocks(this.#host, { attempt, more: () => this.#panel.open('people'), moved });
    this.#panel.onopen = (open) => (knocks.shown = open !== 'people');
    const notices = new Notices(knocks.element, this.#toasts);
    notices.add(this.#recording.question, new Banner(call).element, new OwnCause(call).element, new SilencedNote(call.media).element, prompt.element, new RingBar(call, this.#ringing, this.#toasts, moved).element);
    chat.onunread = (unread) => this.#dock.setUnread(unread);
    this.element = h('div', { class: 'call' },
      this.#header(),
      h('main', { class: 'call-body' },
        h('div', { class: 'stage-column' }, this.#stage.element, new Captions(call).element, notices.element), this.#panel.element, new Reactions(call).element, this.#stats.element),
      this.#dock.element,
      this.#settings.element, confirm.element);
    this.#listen();
    this.#render();
    for (const text of deviceProblems(call.media)) this.#toasts.show(text);
  }

  focus() {
    this.#dock.focus();
  }

  #header() {
    const brand = h('a', { class: 'brand', href: at(), target: '_blank', rel: 'noopener', 'aria-label': 'Visavis' }, logo(), h('span', {}, 'Visavis'));
    return h('header', { class: `call-header${hidden.header ? ' bare' : ''}` }, brand,
      h('div', { class: 'call-title' }, this.#title, this.#count),
      this.#recording.mark, this.#live, this.#watched,
      new LayoutButton(() => this.#stage.render()).element,
      iconButton('settings', 'dock.settings', () => this.#settings.open(), 'plain'),
      new LinkButton(this.#toasts, this.#call.self?.role ?? 'participant').element);
  }

  #listen() {
    const call = this.#call;
    const toasts = this.#toasts;
    const stop = listenToShortcuts({
      m: () => this.#dock.toggleMicrophone(),
      v: () => this.#dock.toggleCamera(),
      h: () => this.#dock.toggleHand(),
      c: () => hidden.chat || this.#panel.toggle('chat'),
      p: () => this.#panel.toggle('people'),
      s: () => {
        this.#settings.statistics = !this.#stats.shown;
      },
    });
    const wakeLock = new WakeLock();
    const hint = new MutedHint(call.media, toasts);
    const keyboard = new Keyboard(this.element);
    const guard = new BackGuard({ close: () => this.#closeUppermost(), ask: () => this.#askToLeave() });
    /** @type {Set<string>} */
    const hands = new Set();
    for (const event of /** @type {const} */ (['joined', 'left'])) call.on(event, () => this.#render());
    call.on('left', ({ peer, reason }) => {
      if (reason !== 'missed') this.#say('call.left', peer);
    });
    call.on('self', () => this.#render());
    call.on('updated', ({ id, name, hand }) => {
      this.#render();
      if (hand && !hands.has(id)) toasts.show(t('call.hand', { name }));
      if (hand) hands.add(id);
      else hands.delete(id);
    });
    call.on('event', (event) => {
      // The peers that were in the room before this client are not announced.
      if (event.type === 'peer-joined' && !call.peer(event.peer.id)) this.#say('call.joined', event.peer);
      if (event.type === 'muted') toasts.show(t('call.mutedByHost'));
    });
    call.on('room', () => this.#render());
    call.media.on('substituted', () => deviceSubstitutions(call.media).forEach((text) => toasts.show(text)));
    call.media.on('shareproblem', (problem) => toasts.show(t(`share.${problem}`)));
    call.media.on('problem', () => deviceProblems(call.media).forEach((text) => toasts.show(text)));
    this.#host.on('change', () => this.#dock.setWaiting(this.#host.waiting.size));
    this.#ringing.on('change', ({ state, peer }) => {
      if (state === 'connected') this.#stage.pin(peer);
    });
    this.#quality.listen((peer, { level }) => this.#stage.setQuality(peer, level));
    this.#settings.onstatistics = (shown) => {
      this.#stats.shown = shown;
    };
    call.on('ended', () => {
      stop();
      wakeLock.release();
      hint.close();
      keyboard.close();
      guard.release();
      this.#stage.close();
      this.#quality.close();
      this.#settings.close();
    });
  }

  /** @returns {boolean} whether there was a dialog, a menu or a panel to close */
  #closeUppermost() {
    const dialog = [...document.querySelectorAll('dialog')].findLast(({ open }) => open);
    if (dialog) closeDialog(dialog);
    return dialog !== undefined || this.#dock.closeMenu() || this.#panel.close();
  }

  async #askToLeave() {
    const question = { title: t('call.leaveTitle'), text: t('call.leaveText'), action: t('call.leaveAction') };
    if (await this.#confirm.ask(question)) this.#call.leave();
  }

  /**
   * @param {string} key
   * @param {import('../../sdk/protocol.js').Peer} peer
   */
  #say(key, { name, role }) {
    // Viewers are not announced: they may be many.
    if (role !== 'viewer') this.#toasts.show(t(key, { name }));
  }

  /** @param {Promise<void>} action */
  async #attempt(action) {
    try {
      await action;
    } catch (error) {
      this.#toasts.show(refusalText(/** @type {any} */ (error).code ?? ''));
    }
  }

  #render() {
    const { room, peers, self } = this.#call;
    if (room) setText(this.#title, titleOf(room));
    const others = peers.filter(({ role }) => role !== 'viewer');
    const onAir = [...others, ...(self ? [self] : [])].some(({ role, live }) => role === 'broadcaster' && live);
    this.#live.hidden = !onAir;
    const viewers = room?.viewers ?? 0;
    this.#watched.hidden = viewers === 0 && !onAir && self?.role === 'participant';
    setText(this.#viewers, String(viewers));
    for (const name of ['aria-label', 'title']) attribute(this.#watched, name, t('people.viewers', { count: viewers }));
    const people = self?.role === 'participant' || (self?.role === 'broadcaster' && others.length > 0);
    const parts = [people && t('call.people', { count: others.length + 1 }), room?.locked && t('call.locked'), room?.recording && t('call.recording')];
    setText(this.#count, parts.filter(Boolean).join(' · '));
  }
}
