import { textButton } from '../../widgets/buttons.js';
import { h, setText } from '../../base/dom.js';
import { t } from '../../base/i18n.js';

/**
 * Announces that the room is recorded: by a red mark, by a text for screen readers, and, if consent is required, by a
 * question.
 */
export class RecordingNotice {
  /** In the header, in every size. */
  mark = h('span', { class: 'record-mark', role: 'img', 'aria-label': t('recording.mark'), title: t('recording.mark'), hidden: true }, t('recording.short'));
  /** Above the stage's notices. */
  question;
  #text = h('span', { class: 'notice-text' });
  #call;
  #toasts;
  #recorded = false;
  #failed = false;

  /**
   * @param {import('../../../sdk/index.js').Call} call
   * @param {import('./toasts.js').Toasts} toasts
   */
  constructor(call, toasts) {
    this.#call = call;
    this.#toasts = toasts;
    const agree = textButton(t('recording.agree'), () => call.consent(), 'primary');
    const leave = textButton(t('recording.leave'), () => call.leave());
    this.question = h('div', { class: 'notice consent', role: 'alert', hidden: true }, this.#text, h('div', { class: 'notice-actions' }, agree, leave));
    call.on('event', (event) => {
      this.#failed = event.type === 'recording' && !event.peer && event.state === 'failed';
      if (this.#failed) toasts.show(t('call.recordingFailed'));
    });
    for (const event of /** @type {const} */ (['room', 'self'])) call.on(event, () => this.#render());
    // A screen reader announces it once the page is rendered.
    soon(() => this.#render());
  }

  #render() {
    const { room, features, held } = this.#call;
    const recorded = room?.recording ?? false;
    this.mark.hidden = !recorded;
    const asks = held && features.includes('recording-consent');
    if (asks) setText(this.#text, t('recording.question'));
    this.question.hidden = !asks;
    if (recorded !== this.#recorded) {
      this.#recorded = recorded;
      if (recorded) this.#toasts.show(t('call.recordingBegan'));
      else if (!this.#failed) this.#toasts.show(t('call.recordingEnded'));
    }
    // The operator requires notice, not consent.
    if (held && !asks) soon(() => this.#call.consent());
  }
}

/**
 * Runs with the next frame; a hidden page has none.
 *
 * @param {() => void} act
 */
function soon(act) {
  if (document.visibilityState === 'visible') requestAnimationFrame(act);
  else setTimeout(act);
}
