// The document for an address without a page, or with an invalid room name. The server's document is in English.

import { loadCatalogue } from './base/i18n.js';

await loadCatalogue();
document.title = `${document.querySelector('h1')?.textContent} – Visavis`;
