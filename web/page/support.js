/**
 * Tells the user what the browser lacks, before the modules of the page need it.
 *
 * It is the first script of every document: a classic script in the syntax of 2009, since it must run where modules do
 * not. `data-needs` on the body lists what the document requires.
 */
(function () {
  'use strict';

  /** @type {Record<string, Record<string, string>>} */
  var TEXTS = {
    en: {
      title: 'This browser cannot show this page',
      old: 'It is too old for video calls, or it is set not to run modern scripts. Please open this link in a current Chrome, Edge, Firefox or Safari.',
      webrtc: 'It has no WebRTC, or WebRTC is switched off. Please open this link in a current Chrome, Edge, Firefox or Safari; from inside an app, choose “Open in browser”. In the Lockdown Mode of an iPhone or Mac, exclude this website.',
      transport: 'It cannot keep a connection to a server: it has neither WebSocket nor streams. Please open this link in a current Chrome, Edge, Firefox or Safari.',
      load: 'A part of this page could not be loaded. Please check your connection and load the page again.',
      link: 'The link:',
      again: 'Load again'
    },
    de: {
      title: 'Dieser Browser kann diese Seite nicht zeigen',
      old: 'Er ist zu alt für Videoanrufe oder führt keine modernen Skripte aus. Bitte öffnen Sie diesen Link in einem aktuellen Chrome, Edge, Firefox oder Safari.',
      webrtc: 'Ihm fehlt WebRTC, oder WebRTC ist ausgeschaltet. Bitte öffnen Sie diesen Link in einem aktuellen Chrome, Edge, Firefox oder Safari; in einer App wählen Sie „Im Browser öffnen“. Im Blockierungsmodus eines iPhones oder Macs nehmen Sie diese Website aus.',
      transport: 'Er kann keine Verbindung zu einem Server halten: Ihm fehlen WebSocket und Streams. Bitte öffnen Sie diesen Link in einem aktuellen Chrome, Edge, Firefox oder Safari.',
      load: 'Ein Teil dieser Seite konnte nicht geladen werden. Bitte prüfen Sie Ihre Verbindung und laden Sie die Seite neu.',
      link: 'Der Link:',
      again: 'Neu laden'
    },
    es: {
      title: 'Este navegador no puede mostrar esta página',
      old: 'Es demasiado antiguo para videollamadas o no ejecuta scripts modernos. Abre este enlace en una versión actual de Chrome, Edge, Firefox o Safari.',
      webrtc: 'No tiene WebRTC o está desactivado. Abre este enlace en una versión actual de Chrome, Edge, Firefox o Safari; dentro de una aplicación, elige «Abrir en el navegador». En el modo de aislamiento de un iPhone o Mac, excluye este sitio web.',
      transport: 'No puede mantener una conexión con un servidor: faltan WebSocket y los flujos de datos. Abre este enlace en una versión actual de Chrome, Edge, Firefox o Safari.',
      load: 'No se ha podido cargar una parte de esta página. Comprueba tu conexión y vuelve a cargar la página.',
      link: 'El enlace:',
      again: 'Volver a cargar'
    },
    ar: {
      title: 'لا يستطيع هذا المتصفح عرض هذه الصفحة',
      old: 'إنه أقدم من أن يجري مكالمات فيديو، أو لا يشغّل البرامج النصية الحديثة. يُرجى فتح هذا الرابط في إصدار حديث من Chrome أو Edge أو Firefox أو Safari.',
      webrtc: 'تنقصه تقنية WebRTC أو هي معطّلة. يُرجى فتح هذا الرابط في إصدار حديث من Chrome أو Edge أو Firefox أو Safari؛ ومن داخل تطبيق اختر «فتح في المتصفح». وفي وضع المنع على iPhone أو Mac استثنِ هذا الموقع.',
      transport: 'لا يستطيع الاحتفاظ باتصال مع خادم: تنقصه WebSocket والتدفقات. يُرجى فتح هذا الرابط في إصدار حديث من Chrome أو Edge أو Firefox أو Safari.',
      load: 'تعذّر تحميل جزء من هذه الصفحة. يُرجى التحقق من اتصالك وإعادة تحميل الصفحة.',
      link: 'الرابط:',
      again: 'إعادة التحميل'
    }
  };

  /** @type {any} */
  var browser = window;
  var told = false;

  /** @param {string} need */
  function isNeeded(need) {
    return (' ' + document.body.getAttribute('data-needs') + ' ').indexOf(' ' + need + ' ') >= 0;
  }

  function hasModules() {
    return 'noModule' in document.createElement('script') && 'replaceChildren' in document.body.constructor.prototype &&
      typeof browser.fetch === 'function' && typeof browser.Promise === 'function';
  }

  function hasWebRtc() {
    var connection = browser.RTCPeerConnection;
    return typeof connection === 'function' && 'addTransceiver' in connection.prototype && typeof browser.MediaStream === 'function';
  }

  function hasTransport() {
    return typeof browser.WebSocket === 'function' || typeof browser.ReadableStream === 'function';
  }

  function language() {
    var wanted = navigator.languages || [navigator.language || 'en'];
    for (var index = 0; index < wanted.length; index += 1) {
      var tag = String(wanted[index]).split('-')[0];
      if (tag && Object.prototype.hasOwnProperty.call(TEXTS, tag)) return tag;
    }
    return 'en';
  }

  /**
   * @param {string} tag
   * @param {string} text
   * @param {string} [name]
   */
  function element(tag, text, name) {
    var made = document.createElement(tag);
    made.textContent = text;
    if (name) made.className = name;
    return made;
  }

  /** Replaces the page by the notice. @param {string} reason */
  function tell(reason) {
    if (told || !document.body) return;
    told = true;
    var tag = language();
    var texts = /** @type {Record<string, string>} */ (TEXTS[tag]);
    for (var index = 0; index < document.body.children.length; index += 1) {
      /** @type {HTMLElement} */ (document.body.children[index]).hidden = true;
    }
    var notice = element('main', '', 'unsupported');
    notice.setAttribute('role', 'alert');
    notice.setAttribute('lang', tag);
    notice.setAttribute('dir', tag === 'ar' ? 'rtl' : 'ltr');
    notice.setAttribute('data-unsupported', reason);
    if (reason !== 'load') notice.appendChild(element('h1', texts.title || ''));
    notice.appendChild(element('p', texts[reason] || ''));
    if (reason === 'load') {
      var again = element('button', texts.again || '', 'button primary');
      again.onclick = function () { location.reload(); };
      notice.appendChild(again);
    } else {
      notice.appendChild(element('p', texts.link || ''));
      notice.appendChild(element('p', location.href.split('#')[0] || '', 'link-text'));
    }
    document.body.appendChild(notice);
  }

  function examine() {
    if (!hasModules()) tell('old');
    else if (isNeeded('webrtc') && !hasWebRtc()) tell('webrtc');
    else if (isNeeded('transport') && !hasTransport()) tell('transport');
  }

  /** A module could not be parsed or loaded. @param {any} event */
  function failed(event) {
    var target = event.target;
    var arrived = target === window || !target || target.tagName !== 'SCRIPT';
    var unreadable = event.error instanceof SyntaxError || /SyntaxError/.test(String(event.message));
    if (!arrived) later('load');
    else if (unreadable) later('old');
  }

  /** @param {string} reason */
  function later(reason) {
    if (document.body) tell(reason);
    else document.addEventListener('DOMContentLoaded', function () { tell(reason); });
  }

  window.addEventListener('error', failed, true);
  if (document.body) examine();
  else document.addEventListener('DOMContentLoaded', examine);
})();
