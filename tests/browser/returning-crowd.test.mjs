// A crowd of sessions returns to a server that was killed, and to one that was ended: spread over time, and all of them.
// `tests/long/returning-crowd` does the same with a thousand.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { densest, ENDS, returns } from './returning-crowd.mjs';

for (const [how, end] of Object.entries(ENDS)) {
  test(`a crowd returns to a server that was ${how}, one after the other, and nobody is refused`, async () => {
    const times = await returns(150, end);
    assert.equal(times.length, 150);
    assert.ok(densest(times) < 0.6, `${Math.round(densest(times) * 100)} % in a tenth of the time`);
  });
}
