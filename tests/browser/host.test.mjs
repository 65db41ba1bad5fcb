// What a host can do, as the page shows it on both sides.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { confirmed, launch, mediaFlows, newPage, newRoom, participant, Server, until, visit } from './harness.mjs';

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

const closeAll = (...pages) => Promise.all(pages.map((page) => page.context().close()));
const openPeople = (page) => page.getByRole('button', { name: 'People', exact: true }).click();

/** A host with the room's doors before her. */
async function host(room) {
  const page = await participant(browser, server.url, room, { name: 'Host', topology: 'mesh' });
  await openPeople(page);
  await page.getByText('Host controls').click();
  return page;
}

/** Tries to enter, and leaves the rest to the test. */
async function knock(room, name) {
  const page = await newPage(browser);
  await visit(page, server.url, room, { name });
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  return page;
}

test('the lobby: one is let in, one is turned away', async () => {
  const room = newRoom();
  const boss = await host(room);
  await boss.getByText('Let newcomers wait in the lobby').click();
  await until('the lobby', () => boss.evaluate(() => window.visavis.room.lobby));
  const ada = await knock(room, 'Ada');
  await ada.getByRole('heading', { name: 'You are in the lobby' }).waitFor();
  const eve = await knock(room, 'Eve');
  await boss.getByRole('button', { name: 'Deny Eve' }).click();
  await eve.getByRole('heading', { name: 'The host has not let you in' }).waitFor();
  assert.equal(await boss.locator('[data-peer]').count(), 0);
  await boss.getByRole('button', { name: 'Admit Ada' }).click();
  await ada.getByRole('button', { name: 'Leave' }).waitFor();
  await mediaFlows(ada, 1);
  await mediaFlows(boss, 1);
  await boss.getByRole('list', { name: 'Waiting in the lobby' }).waitFor({ state: 'hidden' });
  assert.deepEqual([...boss.problems, ...ada.problems, ...eve.problems], []);
  await closeAll(boss, ada, eve);
});

test('lock and password', async () => {
  const room = newRoom();
  const boss = await host(room);
  await boss.getByText('Lock the room').click();
  await until('the lock', () => boss.evaluate(() => window.visavis.room.locked));
  const ada = await knock(room, 'Ada');
  await ada.getByRole('alert').filter({ hasText: 'The room is locked' }).waitFor();
  await boss.getByText('Lock the room').click();
  await boss.getByRole('textbox', { name: 'Password' }).fill('sesame');
  await boss.getByRole('button', { name: 'Set', exact: true }).click();
  await until('the password', () => boss.evaluate(() => window.visavis.room.password && !window.visavis.room.locked));
  await ada.getByRole('button', { name: 'Join', exact: true }).click();
  await ada.getByRole('alert').filter({ hasText: 'This room has a password' }).waitFor();
  await ada.getByLabel('Password of the room').fill('guess');
  await ada.getByRole('button', { name: 'Join', exact: true }).click();
  await ada.getByRole('alert').filter({ hasText: 'That is not the room’s password'.replace('’', "'") }).waitFor();
  await ada.getByLabel('Password of the room').fill('sesame');
  await ada.getByRole('button', { name: 'Join', exact: true }).click();
  await ada.getByRole('button', { name: 'Leave' }).waitFor();
  await closeAll(boss, ada);
});

test('mute, make host, remove, end', async () => {
  const room = newRoom();
  const boss = await host(room);
  const ada = await participant(browser, server.url, room, { name: 'Ada' });
  const eve = await participant(browser, server.url, room, { name: 'Eve' });
  await openPeople(ada);
  assert.equal(await ada.getByRole('button', { name: 'Remove Eve' }).count(), 0, 'no power without being host');
  await boss.getByRole('button', { name: 'Mute Ada' }).click();
  await ada.getByText('The host has muted you').waitFor();
  await ada.getByRole('button', { name: 'Unmute microphone' }).waitFor();
  await boss.getByRole('button', { name: 'Remove Eve' }).click();
  await confirmed(boss, 'Remove');
  await eve.getByRole('heading', { name: 'The host has removed you from the call' }).waitFor();
  await visit(eve, server.url, room, { name: 'Eve' });
  await eve.getByRole('button', { name: 'Join', exact: true }).click();
  await eve.getByRole('alert').filter({ hasText: 'You are not allowed to enter this room' }).waitFor();
  await boss.getByRole('button', { name: 'End the call for all' }).click();
  await confirmed(boss, 'End for all');
  for (const page of [boss, ada]) await page.getByRole('heading', { name: 'The host has ended the call' }).waitFor();
  await closeAll(boss, ada, eve);
});

test('a new host sees the powers at once, and so do the others', async () => {
  const room = newRoom();
  const boss = await host(room);
  const ada = await participant(browser, server.url, room, { name: 'Ada' });
  const eve = await participant(browser, server.url, room, { name: 'Eve' });
  for (const page of [ada, eve]) await openPeople(page);
  const noted = (page) => page.getByRole('listitem').filter({ hasText: 'Ada' }).getByText('Host', { exact: true });
  assert.equal(await noted(eve).count(), 0);
  await boss.getByRole('button', { name: 'Make host: Ada' }).click();
  await confirmed(boss, 'Make host');
  for (const page of [boss, ada, eve]) await noted(page).waitFor();
  await ada.getByText('Host controls').click();
  await ada.getByText('Lock the room').click();
  await until('the lock', () => eve.evaluate(() => window.visavis.room.locked));
  await ada.getByRole('button', { name: 'Remove Eve' }).click();
  await confirmed(ada, 'Remove');
  await eve.getByRole('heading', { name: 'The host has removed you from the call' }).waitFor();
  assert.deepEqual([...boss.problems, ...ada.problems], []);
  await closeAll(boss, ada, eve);
});

test('powers come back with a reload of the page', async () => {
  const room = newRoom();
  const boss = await host(room);
  const ada = await participant(browser, server.url, room, { name: 'Ada' });
  await boss.reload();
  await boss.getByRole('button', { name: 'Leave', exact: true }).waitFor();
  await openPeople(boss);
  await boss.getByRole('button', { name: 'Remove Ada' }).click();
  await confirmed(boss, 'Remove');
  await ada.getByRole('heading', { name: 'The host has removed you from the call' }).waitFor();
  await closeAll(boss, ada);
});
