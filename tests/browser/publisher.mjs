// Somebody who publishes flashes and beeps, and what is known of the recording.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { join, newPage } from './harness.mjs';

const SIGNAL = readFileSync(new URL('./test-signal.js', import.meta.url), 'utf8');

/** Somebody who publishes through the media server in one codec, or in any. */
export async function publisher(browser, url, room, codec = '', query = {}) {
  const page = await newPage(browser);
  await page.addInitScript(`const codec = ${JSON.stringify(codec)}; ${SIGNAL}`);
  await join(page, url, room, { name: 'Ada', topology: 'sfu', ...query });
  return page;
}

/** What the page's video sender has to say: `{frames, codec}`. */
export const sent = (page) => page.evaluate(async () => {
  for (const connection of window.visavis.connections().values()) {
    const reports = [...(await connection.getStats()).values()];
    const out = reports.find(({ type, kind }) => type === 'outbound-rtp' && kind === 'video');
    if (out) return { frames: out.framesSent, codec: reports.find(({ id }) => id === out.codecId)?.mimeType };
  }
  return { frames: 0 };
});

/** What the server keeps of a recording, beside its file. */
export function noteOf(file) {
  const [, id] = /_([a-z2-7]{16})\./.exec(file);
  return JSON.parse(readFileSync(path.join(path.dirname(file), `${id}.json`), 'utf8'));
}
