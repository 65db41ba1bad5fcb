import { at } from './root.js';

/** Milliseconds by which the server's clock is ahead of this device's. */
let ahead = 0;

/**
 * Records the server's clock.
 *
 * @param {number} shown the time it showed, in milliseconds since 1970
 * @param {number} askedAt the time of the request by this device's clock
 */
export function noteServerTime(shown, askedAt) {
  ahead = shown - (askedAt + Date.now()) / 2;
}

/** Requests the server's clock, with the precision of the `Date` header. */
export async function askServerTime() {
  const askedAt = Date.now();
  try {
    const response = await fetch(at('livez'), { cache: 'no-store' });
    const shown = Date.parse(response.headers.get('Date') ?? '');
    // The header has whole seconds only.
    if (!Number.isNaN(shown)) noteServerTime(shown + 500, askedAt);
  } catch {
    // This device's clock is used instead.
  }
}

/** The time by the server's clock. */
export const serverNow = () => Date.now() + ahead;
