// Hands, reactions, one-to-one calls, layouts, settings.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, mediaFlows, newPage, newRoom, participant, selfId, Server, until, visit } from './harness.mjs';

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

async function pair() {
  const room = newRoom();
  const ada = await participant(browser, server.url, room, { name: 'Ada', topology: 'mesh' });
  const grace = await participant(browser, server.url, room, { name: 'Grace' });
  await mediaFlows(ada, 1);
  await mediaFlows(grace, 1);
  return [ada, grace];
}
const closeAll = (...pages) => Promise.all(pages.map((page) => page.context().close()));
const openPeople = (page) => page.getByRole('button', { name: 'People', exact: true }).click();

test('a raised hand and a reaction are seen', async () => {
  const [ada, grace] = await pair();
  await grace.getByRole('button', { name: 'Raise hand' }).click();
  await ada.locator('[data-peer]').getByRole('img', { name: 'Hand raised' }).waitFor();
  await ada.getByRole('status').getByText('Grace has raised a hand').waitFor();
  await grace.getByRole('button', { name: 'Lower hand' }).click();
  await ada.locator('[data-peer]').getByRole('img', { name: 'Hand raised' }).waitFor({ state: 'hidden' });
  await ada.getByRole('button', { name: 'Reactions' }).click();
  await ada.getByRole('button', { name: 'Send 👏' }).click();
  await grace.locator('.reaction').getByText('👏').waitFor();
  assert.deepEqual([...ada.problems, ...grace.problems], []);
  await closeAll(ada, grace);
});

test('a one-to-one call is rung, accepted, connected and hung up', async () => {
  const [ada, grace] = await pair();
  await openPeople(ada);
  await ada.getByRole('button', { name: 'Ring Grace' }).click();
  await ada.getByText('Calling Grace…').waitFor();
  await grace.getByRole('group', { name: 'One-to-one call' }).getByText('Ada is calling you').waitFor();
  await grace.getByRole('button', { name: 'Accept' }).click();
  await ada.getByText('In a call with Grace').waitFor();
  await grace.getByText('In a call with Ada').waitFor();
  await grace.getByRole('button', { name: 'Hang up' }).click();
  await ada.getByRole('status').getByText('The call with Grace is over').waitFor();
  await ada.getByRole('button', { name: 'Ring Grace' }).click();
  await grace.getByRole('button', { name: 'Decline' }).click();
  await ada.getByRole('status').getByText('Grace has declined').waitFor();
  await ada.getByRole('button', { name: 'Ring Grace' }).click();
  await grace.getByRole('button', { name: 'Decline' }).waitFor();
  await ada.getByRole('button', { name: 'Cancel' }).click();
  await grace.getByRole('button', { name: 'Decline' }).waitFor({ state: 'detached' });
  await closeAll(ada, grace);
});

test('a pinned picture is the large one', async () => {
  const [ada, grace] = await pair();
  const third = await participant(browser, server.url, await grace.evaluate(() => window.visavis.room.id), { name: 'Alan' });
  await mediaFlows(third, 2);
  const tile = third.locator(`[data-peer="${await selfId(grace)}"]`);
  await tile.hover();
  await tile.getByRole('button', { name: 'Keep large: Grace' }).click();
  await third.locator('.tile.main').getByText('Grace').waitFor();
  const areas = await third.locator('.tile').evaluateAll((tiles) => tiles.map((each) => [each.classList.contains('main'), each.clientWidth * each.clientHeight]));
  const main = areas.find(([isMain]) => isMain)[1];
  assert.ok(areas.every(([isMain, area]) => isMain || area < main / 2), JSON.stringify(areas));
  await closeAll(ada, grace, third);
});

test('shortcuts work except in text fields, and can be switched off', async () => {
  const [ada, grace] = await pair();
  await ada.keyboard.press('m');
  await ada.getByRole('button', { name: 'Unmute microphone' }).waitFor();
  await ada.keyboard.press('c');
  await ada.getByRole('textbox', { name: 'Message' }).waitFor();
  await ada.keyboard.type('mmm');
  assert.equal(await ada.getByRole('textbox', { name: 'Message' }).inputValue(), 'mmm');
  await ada.getByRole('button', { name: 'Unmute microphone' }).waitFor();
  await ada.getByRole('button', { name: 'Settings' }).click();
  await ada.getByText('Keyboard shortcuts').click();
  await ada.getByText('Show statistics').click();
  await ada.keyboard.press('Escape');
  await ada.getByRole('cell', { name: 'Grace' }).waitFor();
  await ada.getByRole('cell', { name: /kbit\/s/ }).waitFor();
  await ada.getByRole('button', { name: 'Unmute microphone' }).focus();
  await ada.keyboard.press('m');
  await ada.getByRole('button', { name: 'Raise hand' }).focus();
  await ada.keyboard.press('h');
  await ada.getByRole('button', { name: 'Unmute microphone' }).waitFor();
  await ada.getByRole('button', { name: 'Raise hand' }).waitFor();
  await closeAll(ada, grace);
});

for (const [locale, dir, label] of [['de-AT', 'ltr', 'Beitreten'], ['es-MX', 'ltr', 'Entrar'], ['ar-EG', 'rtl', 'انضمام'], ['fr-FR', 'ltr', 'Join']]) {
  test(`a browser set to ${locale} sees ${label}`, async () => {
    const page = await newPage(browser, { locale });
    await page.goto(`${server.url}/r/${newRoom()}?name=A`);
    await page.getByRole('button', { name: label, exact: true }).click();
    await page.locator('.dock').waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.dir), dir);
    await until('no sideways scrolling', () => page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth));
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });
}

test('the choices of the user are remembered', async () => {
  const page = await newPage(browser);
  const room = newRoom();
  await visit(page, server.url, room, { name: 'Ada' });
  await page.getByText('Join muted').click();
  await page.getByRole('button', { name: 'Turn camera off' }).click();
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await page.getByRole('button', { name: 'Leave' }).click();
  await visit(page, server.url, room);
  assert.equal(await page.getByRole('textbox', { name: 'Your name' }).inputValue(), 'Ada');
  await page.getByRole('button', { name: 'Unmute microphone' }).waitFor();
  await page.getByRole('button', { name: 'Turn camera on' }).waitFor();
  await page.context().close();
});
