// Signaling that drops and returns never touches media.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, mediaFlows, newRoom, participant, received, selfId, Server, until, Wire } from './harness.mjs';

let browser;
before(async () => {
  browser = await launch();
});
after(async () => {
  await browser?.close();
});

/** Counts from now on whenever a connection is anything but connected, and every connection that is made. */
const watchConnections = (page) =>
  page.evaluate(() => {
    window.disturbances = [];
    for (const connection of window.visavis.connections().values()) {
      connection.addEventListener('iceconnectionstatechange', () => window.disturbances.push(connection.iceConnectionState));
      window.watched = [...(window.watched ?? []), connection];
    }
  });
const disturbances = (page) =>
  page.evaluate(() => {
    const now = [...window.visavis.connections().values()];
    const same = now.length === window.watched.length && now.every((connection) => window.watched.includes(connection));
    return [...window.disturbances, ...(same ? [] : ['another connection'])];
  });
const isConnected = (page) => page.evaluate(() => window.visavis.session.state === 'connected');

for (const transport of ['websocket', 'sse', 'socketio']) {
  test(`a cut ${transport} resumes where it was, and the call goes on`, async () => {
    const server = await Server.start();
    const wire = await Wire.to(server);
    const room = newRoom();
    const ada = await participant(browser, wire.url, room, { name: 'Ada', transport, topology: 'mesh' });
    const grace = await participant(browser, server.url, room, { name: 'Grace' });
    await mediaFlows(ada, 1);
    await mediaFlows(grace, 1);
    const id = await selfId(ada);
    await watchConnections(ada);
    wire.cut();
    await ada.getByRole('alert').filter({ hasText: 'Reconnecting' }).waitFor();
    // Said while Ada was away, and heard by her once.
    await grace.getByRole('button', { name: 'Chat' }).click();
    await grace.getByRole('textbox', { name: 'Message' }).fill('still there?');
    await grace.keyboard.press('Enter');
    await mediaFlows(ada, 1);
    wire.mend();
    await until('the session is back', () => isConnected(ada));
    await ada.getByRole('alert').filter({ hasText: 'Reconnecting' }).waitFor({ state: 'hidden' });
    await ada.getByRole('button', { name: 'Chat' }).click();
    await ada.getByRole('log').getByText('still there?').waitFor();
    assert.equal(await ada.getByRole('log').getByText('still there?').count(), 1);
    assert.equal(await selfId(ada), id);
    assert.deepEqual(await disturbances(ada), []);
    await mediaFlows(grace, 1);
    for (const page of [ada, grace]) await page.context().close();
    await wire.close();
    await server.close();
  });
}

test('the server is killed and started again: both are back as the same peers, no frame is lost', async () => {
  const server = await Server.start();
  const room = newRoom();
  const ada = await participant(browser, server.url, room, { name: 'Ada', transport: 'websocket', topology: 'mesh' });
  const grace = await participant(browser, server.url, room, { name: 'Grace', transport: 'sse' });
  const pages = [ada, grace];
  for (const page of pages) {
    await mediaFlows(page, 1);
    await watchConnections(page);
  }
  const ids = await Promise.all(pages.map(selfId));
  await server.kill();
  for (const page of pages) await page.getByRole('alert').filter({ hasText: 'Reconnecting' }).waitFor();
  for (const page of pages) await mediaFlows(page, 1);
  await server.start();
  for (const page of pages) await until('the session is back', () => isConnected(page));
  assert.deepEqual(await Promise.all(pages.map(selfId)), ids);
  for (const page of pages) await mediaFlows(page, 1);
  for (const page of pages) assert.deepEqual(await disturbances(page), []);
  for (const [index, page] of pages.entries()) {
    const other = ids[1 - index];
    assert.deepEqual(Object.keys(await received(page)), [other]);
    await page.locator(`[data-peer="${other}"]`).waitFor();
  }
  // What is said reaches the other side again.
  await grace.getByRole('button', { name: 'Turn camera off' }).click();
  await ada.locator(`[data-peer="${ids[1]}"].no-picture`).waitFor();
  await ada.getByRole('button', { name: 'Chat' }).click();
  await ada.getByRole('textbox', { name: 'Message' }).fill('here again');
  await ada.keyboard.press('Enter');
  await grace.getByRole('button', { name: 'Chat' }).click();
  await grace.getByRole('log').getByText('here again').waitFor();
  for (const page of pages) await page.context().close();
  await server.close();
});
