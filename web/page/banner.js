import { h, setText } from './dom.js';
import { t } from './i18n.js';

/** Says that the connection with the server is gone for the moment. */
export class Banner {
  element = h('div', { class: 'banner', role: 'alert', hidden: true });

  /** @param {import('../sdk/index.js').Call} call */
  constructor(call) {
    call.on('state', (state) => {
      const away = state === 'reconnecting';
      setText(this.element, away ? t('call.reconnecting') : '');
      this.element.hidden = !away;
    });
  }
}
