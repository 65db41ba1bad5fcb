import { attribute, h, setText } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { at } from '../../base/root.js';

/** Shows why the others do not see and hear the user. */
export class OwnCause {
  #text = h('span', {});
  element = h('div', { class: 'banner', role: 'alert', hidden: true }, this.#text, ' ',
    h('a', { href: at('check'), target: '_blank', rel: 'noopener' }, t('check.link')));

  /** @param {import('../../../sdk/index.js').Call} call */
  constructor(call) {
    call.on('cause', ({ peer, cause }) => {
      if (peer !== call.self?.id) return;
      this.element.hidden = cause === null;
      attribute(this.element, 'data-cause', cause);
      setText(this.#text, cause ? `${t('cause.own')} ${t(`cause.${cause}`)}` : '');
    });
  }
}
