import { at } from './root.js';

/** How far the server's clock is ahead of this device's, milliseconds. */
let ahead = 0;

/**
 * Takes note of the server's clock.
 *
 * @param {number} shown what it showed, milliseconds since 1970
 * @param {number} askedAt when it was asked, by this device's clock
 */
export function noteServerTime(shown, askedAt) {
  ahead = shown - (askedAt + Date.now()) / 2;
}

/** Asks for the server's clock, as exactly as its `Date` header has it. */
export async function askServerTime() {
  const askedAt = Date.now();
  try {
    const response = await fetch(at('livez'), { cache: 'no-store' });
    const shown = Date.parse(response.headers.get('Date') ?? '');
    // The header leaves out what is less than a second.
    if (!Number.isNaN(shown)) noteServerTime(shown + 500, askedAt);
  } catch {
    // Then this device's clock must do.
  }
}

/** The time by the server's clock. */
export const serverNow = () => Date.now() + ahead;
