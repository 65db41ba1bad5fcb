// What people type into the address bar and the landing page, and where it leads.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launch, newPage, newRoom, participant, Server, visit } from './harness.mjs';

let server;
let browser;
before(async () => {
  server = await Server.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Types something on the landing page. */
async function enter(page, text) {
  await page.goto(server.url);
  await page.getByRole('textbox', { name: 'Room name, code or link' }).fill(text);
  await page.getByRole('button', { name: 'Join' }).click();
}

test('rooms have names in any letters, and one room however it is written', async () => {
  for (const name of ['кухня', 'team call', '🦊', 'standup.', 'مطبخ']) {
    const ada = await newPage(browser);
    await enter(ada, `  ${name} `);
    await ada.getByRole('textbox', { name: 'Your name' }).fill('Ada');
    await ada.getByText(name, { exact: true }).waitFor();
    await ada.getByRole('button', { name: 'Join', exact: true }).click();
    await ada.getByRole('button', { name: 'Leave', exact: true }).waitFor();
    // The link that is passed on leads another person to the same room, and so does the name in capitals.
    const bob = await newPage(browser);
    await bob.goto(ada.url());
    await bob.getByRole('textbox', { name: 'Your name' }).fill('Bob');
    await bob.getByRole('button', { name: 'Join', exact: true }).click();
    await ada.locator('[data-peer]').getByText('Bob', { exact: true }).waitFor();
    const cy = await participant(browser, server.url, encodeURIComponent(name.toUpperCase()), { name: 'Cy' });
    await ada.locator('[data-peer]').getByText('Cy', { exact: true }).waitFor();
    assert.equal(await cy.evaluate(() => window.visavis.room.name), name);
    for (const page of [ada, bob, cy]) {
      assert.deepEqual(page.problems, []);
      await page.context().close();
    }
  }
});

test('an address without a room or a page says so', async () => {
  const page = await newPage(browser);
  for (const [path, status, heading] of [
    ['/r/%E0%A4%A', 400, 'No room can have this name'],
    [`/r/${'x'.repeat(65)}`, 400, 'No room can have this name'],
    ['/r/a%2Fb', 400, 'No room can have this name'],
    ['/nope', 404, 'There is no page here'],
    ['/nope/of/any/kind', 404, 'There is no page here'],
  ]) {
    const response = await page.goto(server.url + path);
    assert.equal(response.status(), status, path);
    await page.getByRole('heading', { name: heading }).waitFor();
    await page.waitForFunction((text) => document.title.startsWith(text), heading);
    assert.equal(await page.getByRole('link', { name: 'Home' }).evaluate((link) => link.href), `${server.url}/`, path);
  }
  await page.getByRole('link', { name: 'Home' }).click();
  await page.getByRole('button', { name: 'Start a call' }).waitFor();
  assert.deepEqual(page.problems, []);
  await page.context().close();
  const german = await newPage(browser, { locale: 'de-DE' });
  await german.goto(`${server.url}/nope/x`);
  await german.getByRole('heading', { name: 'Hier gibt es keine Seite' }).waitFor();
  await german.context().close();
  // Programs get what programs read.
  const answer = await fetch(`${server.url}/nope`);
  assert.deepEqual([answer.status, answer.headers.get('content-type')], [404, 'application/problem+json']);
});

test('a slash at the end of an address does no harm', async () => {
  const page = await newPage(browser);
  const room = newRoom();
  await page.goto(`${server.url}/r/${room}/?name=Ada#x`);
  assert.equal(page.url(), `${server.url}/r/${room}?name=Ada#x`);
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await page.getByRole('button', { name: 'Leave', exact: true }).click();
  await page.getByRole('button', { name: 'Rejoin' }).waitFor();
  for (const path of ['/meetings', '/check', '/api']) {
    await page.goto(`${server.url}${path}/`);
    assert.equal(page.url(), server.url + path);
    await page.getByRole('heading', { level: 1 }).waitFor();
  }
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('a mistyped code is refused and makes no room', async () => {
  const page = await newPage(browser);
  let code;
  do {
    await page.goto(server.url);
    await page.getByRole('button', { name: 'New call with code' }).click();
    code = await page.locator('.code').textContent();
    // Without its only digit, a code is the name of a room.
  } while (!/\d/.test(code.slice(0, 10)));
  const last = code.endsWith('x') ? 'y' : 'x';
  const slips = [
    `${code.slice(0, 10)}${last}`, `${code.slice(0, 10)}o`, code.slice(0, 10), `${code}${last}`,
    `${code.slice(0, 10)}${last}`.replaceAll('-', ''), `${code.slice(0, 10)}${last}`.replaceAll('-', ' ').toUpperCase(),
  ];
  for (const slip of slips) {
    await enter(page, slip);
    await page.getByRole('textbox', { name: 'Your name' }).fill('Ada');
    await page.getByRole('button', { name: 'Join', exact: true }).click();
    await page.getByRole('alert').filter({ hasText: 'There is no meeting with this code' }).waitFor();
  }
  for (const good of [code, code.toUpperCase(), code.replaceAll('-', ''), code.replaceAll('-', ' ')]) {
    await enter(page, good);
    await page.getByRole('textbox', { name: 'Your name' }).fill('Ada');
    await page.getByRole('button', { name: 'Join', exact: true }).click();
    await page.getByRole('button', { name: 'Leave', exact: true }).click();
  }
  // A name with dashes is a name.
  await join(page, server.url, 'abc-def-ghi', { name: 'Ada' });
  await visit(page, server.url, 'team-2024-b');
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await page.getByRole('button', { name: 'Leave', exact: true }).waitFor();
  assert.deepEqual(page.problems, []);
  await page.context().close();
});
