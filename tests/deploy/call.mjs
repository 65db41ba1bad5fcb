// A call by the page of a server: node call.mjs URL PARTICIPANTS [TOPOLOGY] [--stay]. Ends with 0 when everybody sees and hears
// everybody else. With --stay they leave when standard input ends.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { flows, join, launch, newPage, newRoom, until } from '../browser/harness.mjs';

const { values, positionals } = parseArgs({ options: { stay: { type: 'boolean', default: false } }, allowPositionals: true });
const [url, count, topology = 'auto'] = positionals;
const browser = await launch();
const room = newRoom();
const pages = [];
try {
  for (let number = 1; number <= Number(count); number += 1) {
    const page = await newPage(browser, { ignoreHTTPSErrors: true });
    pages.push(page);
    await join(page, url, room, { name: `Participant ${number}`, topology });
  }
  for (const page of pages) await flows(page, pages.length - 1);
  if (values.stay) await once(process.stdin.resume(), 'end');
  for (const page of pages) {
    assert.deepEqual(page.problems, []);
    await page.getByRole('button', { name: 'Leave', exact: true }).click();
    await until('the end', async () => !(await page.getByRole('button', { name: 'Leave', exact: true }).isVisible()));
  }
} catch (error) {
  for (const page of pages) console.error(page.url(), page.problems, await page.locator('body').innerText());
  throw error;
}
await browser.close();
