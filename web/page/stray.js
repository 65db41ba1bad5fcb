// An address that leads to no page, or names what can be no room: the server's own document says so already, in English.

import { loadCatalogue } from './base/i18n.js';

await loadCatalogue();
document.title = `${document.querySelector('h1')?.textContent} – Visavis`;
