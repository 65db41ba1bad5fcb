// A whole call by keyboard alone, and what axe finds.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { launch, mediaFlows, newPage, newRoom, participant, Server, until, visit } from './harness.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

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

/** Presses Tab until the focus is on what has this name. */
async function tabTo(page, name) {
  for (let presses = 0; presses < 60; presses += 1) {
    const focused = await page.evaluate(() => {
      const element = document.activeElement;
      const label = element?.id ? document.querySelector(`label[for="${CSS.escape(element.id)}"]`)?.textContent : null;
      return element?.getAttribute('aria-label') ?? label ?? element?.textContent?.trim() ?? '';
    });
    if (focused === name) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab never reached ${name}`);
}

test('a call is made by keyboard alone', async () => {
  const room = newRoom();
  const other = await participant(browser, server.url, room, { name: 'Grace', topology: 'mesh' });
  const page = await newPage(browser);
  await visit(page, server.url, room);
  await tabTo(page, 'Your name');
  await page.keyboard.type('Ada');
  await tabTo(page, 'Join muted');
  await page.keyboard.press('Space');
  await tabTo(page, 'Join');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Leave' }).waitFor();
  await mediaFlows(page, 1);
  await tabTo(page, 'Unmute microphone');
  await page.keyboard.press('Enter');
  await mediaFlows(other, 1);
  await tabTo(page, 'Chat');
  await page.keyboard.press('Enter');
  await page.getByRole('textbox', { name: 'Message' }).waitFor();
  await page.keyboard.type('by keyboard');
  await page.keyboard.press('Enter');
  await other.getByRole('button', { name: 'Chat' }).click();
  await other.getByRole('log').getByText('by keyboard').waitFor();
  await page.keyboard.press('Escape');
  await tabTo(page, 'Leave');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'You have left the call' }).waitFor();
  await other.locator('[data-peer]').waitFor({ state: 'detached' });
  for (const closing of [page, other]) await closing.context().close();
});

for (const [colorScheme, viewport] of [
  ['light', { width: 1280, height: 800 }],
  ['dark', { width: 390, height: 844 }],
]) {
  test(`axe finds nothing, ${colorScheme}, ${viewport.width} wide`, async () => {
    const room = newRoom();
    const other = await participant(browser, server.url, room, { name: 'Grace', topology: 'mesh' });
    await other.getByRole('button', { name: 'People', exact: true }).click();
    // axe is put in by the test, which the page's own policy rightly forbids.
    const page = await newPage(browser, { colorScheme, viewport, bypassCSP: true, reducedMotion: 'reduce' });
    const check = async (where) => {
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() =>
        window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], rules: { 'label-content-name-mismatch': { enabled: true } } }));
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join('; ')}`);
      assert.deepEqual(found, [], where);
    };
    await page.goto(server.url);
    await page.getByRole('button', { name: 'Start a call' }).waitFor();
    await check('landing page');
    await visit(page, server.url, room, { name: 'Ada' });
    await check('pre-join');
    await page.getByRole('button', { name: 'Join', exact: true }).click();
    await page.getByRole('button', { name: 'Leave' }).waitFor();
    await mediaFlows(page, 1);
    await check('call');
    await page.getByRole('button', { name: 'Chat' }).click();
    await page.getByRole('textbox', { name: 'Message' }).fill('hello');
    await page.keyboard.press('Enter');
    await page.getByRole('log').getByText('hello').waitFor();
    await check('chat');
    await page.getByRole('button', { name: 'People', exact: true }).click();
    await page.getByRole('list', { name: 'In the call' }).waitFor();
    await check('people');
    await page.getByRole('button', { name: 'Close panel' }).click();
    await page.getByRole('button', { name: 'Settings' }).click();
    await check('settings');
    await page.getByLabel('Data for pictures').selectOption('sound');
    await page.keyboard.press('Escape');
    await page.getByText('Pictures are off to save data').waitFor();
    await check('sound only');
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByLabel('Data for pictures').selectOption('all');
    await page.getByText('Show statistics').click();
    await page.keyboard.press('Escape');
    await page.getByRole('cell', { name: 'Grace' }).waitFor();
    await check('statistics');
    await page.getByRole('button', { name: 'Leave' }).click();
    await page.getByRole('heading', { name: 'You have left the call' }).waitFor();
    await check('end');
    await other.getByText('Host controls').click();
    await other.getByText('Let newcomers wait in the lobby').click();
    await until('the lobby', () => other.evaluate(() => window.visavis.room.lobby));
    await visit(page, server.url, room, { name: 'Ada' });
    await page.getByRole('button', { name: 'Join', exact: true }).click();
    await page.getByRole('heading', { name: 'You are in the lobby' }).waitFor();
    await check('lobby');
    for (const closing of [page, other]) await closing.context().close();
  });
}
