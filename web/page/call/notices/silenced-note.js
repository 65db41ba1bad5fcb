import { h, setText } from '../../base/dom.js';
import { t } from '../../base/i18n.js';

const KINDS = /** @type {const} */ (['microphone', 'camera']);

/** Shows that the system blocks a device that is on, as during a phone call. */
export class SilencedNote {
  element = h('div', { class: 'banner', role: 'alert', hidden: true });

  /** @param {import('../../../sdk/index.js').LocalMedia} media */
  constructor(media) {
    const render = () => {
      const { silenced } = media;
      const text = KINDS.filter((kind) => silenced[kind]).map((kind) => t(`devices.${kind}.silenced`)).join(' ');
      setText(this.element, text);
      this.element.hidden = text === '';
    };
    media.on('change', render);
    render();
  }
}
