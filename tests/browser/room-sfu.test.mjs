// Calls through the built-in media server, by the page.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decoded, flows, launch, newRoom, participant, selfId, Server, until } from './harness.mjs';

const server = await Server.start();
const { features } = await (await fetch(`${server.url}/version`)).json();
const skip = features.includes('sfu') ? false : 'this server was built without a media server';
let browser;
before(async () => {
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server.close();
});

const closeAll = (...pages) => Promise.all(pages.map((page) => page.context().close()));
const topology = (page) => page.evaluate(() => window.visavis.room.topology);

for (const transport of ['websocket', 'sse']) {
  test(`three in a room of the media server decode each other over ${transport}`, { skip }, async () => {
    const room = newRoom();
    const pages = [];
    for (const name of ['Ada', 'Grace', 'Alan']) {
      pages.push(await participant(browser, server.url, room, { name, transport, topology: 'sfu' }));
    }
    for (const page of pages) await flows(page, 2);
    assert.equal(await topology(pages[0]), 'sfu');
    await closeAll(...pages);
  });
}

test('a room grows from two to three and goes over to the media server while everybody is seen', { skip }, async () => {
  const room = newRoom();
  const ada = await participant(browser, server.url, room, { name: 'Ada', topology: 'auto' });
  const grace = await participant(browser, server.url, room, { name: 'Grace' });
  await flows(ada, 1);
  assert.equal(await topology(ada), 'mesh');
  const alan = await participant(browser, server.url, room, { name: 'Alan' });
  const pages = [ada, grace, alan];
  for (const page of pages) await until('the room has settled on the media server', async () => (await topology(page)) === 'sfu');
  for (const page of pages) await flows(page, 2);
  // A screen, and a camera that goes and comes, through the server.
  await grace.getByRole('button', { name: 'Share screen' }).click();
  const id = await selfId(grace);
  await until('the screen', async () => (await decoded(ada))?.[id].screen > 3);
  await ada.locator(`[data-peer="${id}"][data-source="screen"] video`).waitFor();
  await grace.getByRole('button', { name: 'Stop sharing' }).click();
  await ada.locator(`[data-peer="${id}"][data-source="screen"]`).waitFor({ state: 'detached' });
  await grace.getByRole('button', { name: 'Turn camera off' }).click();
  await ada.locator(`[data-peer="${id}"].no-picture`).waitFor();
  await grace.getByRole('button', { name: 'Turn camera on' }).click();
  for (const page of pages) await flows(page, 2);
  await alan.getByRole('button', { name: 'Leave' }).click();
  await ada.locator('[data-source="camera"]').nth(1).waitFor({ state: 'detached' });
  await flows(ada, 1);
  assert.deepEqual(pages.flatMap(({ problems }) => problems), []);
  await closeAll(...pages);
});

test('the server is killed and started again: media through it comes back', { skip }, async () => {
  const room = newRoom();
  const pages = [
    await participant(browser, server.url, room, { name: 'Ada', topology: 'sfu' }),
    await participant(browser, server.url, room, { name: 'Grace', transport: 'sse' }),
  ];
  for (const page of pages) await flows(page, 1);
  const ids = await Promise.all(pages.map(selfId));
  await server.kill();
  for (const page of pages) await page.getByRole('alert').filter({ hasText: 'Reconnecting' }).waitFor();
  await server.start();
  for (const page of pages) await flows(page, 1);
  assert.deepEqual(await Promise.all(pages.map(selfId)), ids);
  await closeAll(...pages);
});
