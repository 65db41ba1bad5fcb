// The way back: over whatever transport works, to a server with other keys, after a reload; and what is said meanwhile is true.

import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { flows, join, launch, mediaFlows, newPage, newRoom, participant, selfId, Server, until, visit } from './harness.mjs';

let browser;
before(async () => {
  browser = await launch();
});
after(async () => {
  await browser?.close();
});

const close = (...pages) => Promise.all(pages.map((page) => page.context().close()));
const button = (page, name) => page.getByRole('button', { name, exact: true });
const state = (page) => page.evaluate(() => window.visavis.session.state);
const banner = (page) => page.getByRole('alert').filter({ hasText: 'Reconnecting' });

/** What a browser may do about WebSockets. */
const WEBSOCKETS = {
  'that throws': () => {
    window.WebSocket = class {
      constructor() {
        throw new DOMException('not here', 'SecurityError');
      }
    };
  },
  'that is missing': () => {
    delete window.WebSocket;
  },
  'that hangs': () => {
    window.sockets = [];
    window.WebSocket = class extends EventTarget {
      static CONNECTING = 0;
      static OPEN = 1;
      readyState = 0;
      constructor() {
        super();
        window.sockets.push(this);
      }
      close() {
        this.readyState = 3;
      }
    };
  },
};

for (const [what, init] of Object.entries(WEBSOCKETS)) {
  test(`a WebSocket ${what} keeps nobody out: server-sent events begin beside it`, async () => {
    const server = await Server.start();
    const room = newRoom();
    const grace = await participant(browser, server.url, room, { name: 'Grace', topology: 'mesh' });
    const ada = await newPage(browser);
    await ada.addInitScript(init);
    await visit(ada, server.url, room, { name: 'Ada' });
    const began = Date.now();
    await button(ada, 'Join').click();
    await button(ada, 'Leave').waitFor();
    // Two seconds for the one that hangs, and far from the ten after which a connection is given up.
    assert.ok(Date.now() - began < 8000, `${Date.now() - began} ms`);
    assert.equal(await ada.evaluate(() => window.visavis.session.transportName), 'sse');
    await mediaFlows(grace, 1);
    assert.deepEqual(await grace.evaluate(() => window.visavis.peers.map(({ name }) => name)), ['Ada'], 'and nobody twice');
    await close(ada, grace);
    await server.close();
  });
}

test('a server that returns with another key drops no client: all join again as new peers', async () => {
  const server = await Server.start();
  const room = newRoom();
  const maker = await participant(browser, server.url, room, { name: 'Maker', topology: 'mesh' });
  const guest = await participant(browser, server.url, room, { name: 'Guest' });
  await mediaFlows(maker, 1);
  const before = await selfId(maker);
  await server.kill();
  for (const name of readdirSync(server.data)) rmSync(path.join(server.data, name), { recursive: true });
  await server.start();
  for (const page of [maker, guest]) {
    await until('to be back', async () => (await state(page)) === 'connected' && (await selfId(page)) !== before);
    await button(page, 'Leave').waitFor();
  }
  await mediaFlows(maker, 1);
  await mediaFlows(guest, 1);
  await close(maker, guest);
  await server.close();
});

test('Join while the server is down says so, and joins when it is back', async () => {
  const server = await Server.start();
  const ada = await newPage(browser);
  await visit(ada, server.url, newRoom(), { name: 'Ada' });
  await server.kill();
  await button(ada, 'Join').click();
  await ada.getByRole('status').filter({ hasText: 'The server cannot be reached.' }).waitFor();
  await server.start();
  await button(ada, 'Leave').waitFor();
  await close(ada);
  await server.close();
});

test('while the server is away a mesh goes on, and says so; a call through the server does not, and says that', async () => {
  for (const [topology, text] of [['mesh', 'The call goes on.'], ['sfu', 'you and the others cannot hear or see each other']]) {
    const server = await Server.start();
    const room = newRoom();
    const ada = await participant(browser, server.url, room, { name: 'Ada', topology });
    const grace = await participant(browser, server.url, room, { name: 'Grace' });
    for (const page of [ada, grace]) await flows(page, 1);
    /** Everything that the banner says from now on. */
    await ada.evaluate(() => {
      window.said = [];
      const element = document.querySelector('.notices .banner');
      new MutationObserver(() => window.said.push(element.textContent)).observe(element, { childList: true, characterData: true, subtree: true });
    });
    await server.kill();
    await banner(ada).filter({ hasText: text }).waitFor();
    const said = await ada.evaluate(() => window.said);
    if (topology === 'sfu') assert.ok(said.every((each) => !each.includes('goes on')), JSON.stringify(said));
    else assert.deepEqual(said.filter((each) => each && !each.includes('goes on')), []);
    await server.start();
    await until('to be back', async () => (await state(ada)) === 'connected');
    await banner(ada).waitFor({ state: 'hidden' });
    for (const page of [ada, grace]) await flows(page, 1);
    await close(ada, grace);
    await server.close();
  }
});

test('a room that goes over to the media server says nothing on the console', async () => {
  const server = await Server.start();
  const room = newRoom();
  const heard = [];
  const pages = [];
  for (const name of ['Ada', 'Grace', 'Bob']) {
    const page = await newPage(browser);
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && heard.push(message.text()));
    await join(page, server.url, room, { name });
    pages.push(page);
  }
  for (const page of pages) await until('the media server', () => page.evaluate(() => window.visavis.room.topology === 'sfu'));
  for (const page of pages) await flows(page, 2);
  assert.deepEqual(heard.filter((text) => /signal|topology|media flows/.test(text)), []);
  await close(...pages);
  await server.close();
});

/** Counts what is asked for since the page was loaded. */
const countRequests = () => {
  window.asked = [];
  const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = (constraints) => {
    window.asked.push(Object.keys(constraints).filter((kind) => constraints[kind]).join());
    return real(constraints);
  };
};

test('a reload in a call asks, and comes back into it with the devices as they were, without the screen before', async () => {
  const server = await Server.start();
  const room = newRoom();
  const grace = await participant(browser, server.url, room, { name: 'Grace', topology: 'mesh' });
  const ada = await newPage(browser);
  await ada.addInitScript(countRequests);
  const dialogs = [];
  ada.on('dialog', (dialog) => {
    dialogs.push(dialog.type());
    void dialog.accept();
  });
  await join(ada, server.url, room, { name: 'Ada' });
  await mediaFlows(grace, 1);
  await button(ada, 'Turn camera off').click();
  await ada.reload();
  await button(ada, 'Leave').waitFor();
  assert.deepEqual(dialogs, ['beforeunload']);
  await button(ada, 'Turn camera on').waitFor();
  await button(ada, 'Mute microphone').waitFor();
  assert.deepEqual(await ada.evaluate(() => window.asked), ['audio']);
  await button(ada, 'Mute microphone').click();
  await ada.reload();
  await button(ada, 'Unmute microphone').waitFor();
  await button(ada, 'Turn camera on').waitFor();
  assert.deepEqual(await ada.evaluate(() => window.asked), []);
  await until('one Ada', () => grace.evaluate(() => window.visavis.peers.length === 1));
  await button(ada, 'Leave').click();
  await ada.getByRole('heading', { name: 'You have left the call' }).waitFor();
  await ada.reload();
  await button(ada, 'Join').waitFor();
  assert.equal(dialogs.length, 2, 'nothing is asked outside the call');
  await close(ada, grace);
  await server.close();
});

/** How a host closes the room, what it is then, and what whoever does not come back is shown. */
const DOORS = {
  locked: { door: { action: 'lock' }, isClosed: (room) => room.locked, answer: 'The room is locked' },
  'with a lobby': { door: { action: 'set-lobby', value: true }, isClosed: (room) => room.lobby, answer: 'You are in the lobby' },
  'with a new password': { door: { action: 'set-password', value: 'sesame' }, isClosed: (room) => room.password, answer: 'password' },
};

for (const [what, { door, isClosed, answer }] of Object.entries(DOORS)) {
  test(`a guest of a room ${what} comes back by itself after a reload, and does not after Leave`, async () => {
    const server = await Server.start();
    for (const transport of ['websocket', 'sse', 'socketio']) {
      const room = newRoom();
      const host = await participant(browser, server.url, room, { name: 'Grace', topology: 'mesh' });
      const guest = await participant(browser, server.url, room, { name: 'Ada', transport });
      const before = await selfId(guest);
      await host.evaluate((door) => window.visavis.session.send({ type: 'host', ...door }), door);
      await until('the door to be closed', async () => isClosed(await guest.evaluate(() => window.visavis.room)));
      await guest.reload();
      await button(guest, 'Leave').waitFor();
      assert.notEqual(await selfId(guest), before, transport);
      await until('one Ada', () => host.evaluate(() => window.visavis.peers.map(({ name }) => name).join() === 'Ada'));
      await mediaFlows(host, 1);
      await button(guest, 'Leave').click();
      await guest.getByRole('heading', { name: 'You have left the call' }).waitFor();
      await guest.reload();
      await button(guest, 'Join').click();
      await guest.getByText(answer).first().waitFor();
      await until('nobody', () => host.evaluate(() => window.visavis.peers.length === 0));
      await close(guest, host);
    }
    await server.close();
  });
}

test('after every way to leave and come back, what was off is off', async () => {
  const server = await Server.start();
  const room = newRoom();
  const context = await browser.newContext();
  const open = async () => {
    const page = await context.newPage();
    await page.addInitScript(countRequests);
    return page;
  };
  let page = await open();
  await visit(page, server.url, room, { name: 'Ada' });
  await button(page, 'Turn camera off').click();
  await page.getByText('Join muted').click();
  await button(page, 'Join').click();
  await button(page, 'Leave').waitFor();
  const ways = {
    'Leave and Rejoin': async () => {
      await button(page, 'Leave').click();
      await page.getByRole('button', { name: 'Rejoin' }).click();
    },
    reload: () => page.reload(),
    'the tab closed': async () => {
      await page.close();
      page = await open();
      await visit(page, server.url, room, { name: 'Ada' });
    },
    'away and back': async () => {
      await page.goto(`${server.url}/`);
      await page.goBack();
    },
    'the server killed': async () => {
      await server.kill();
      await until('to notice', async () => (await state(page)) === 'reconnecting');
      await server.start();
      await until('to be back', async () => (await state(page)) === 'connected');
    },
  };
  for (const [way, leave] of Object.entries(ways)) {
    await leave();
    await until(way, () => page.evaluate(() => Boolean(window.visavis) && document.readyState === 'complete' && document.querySelector('button') !== null));
    const entry = button(page, 'Join');
    if (await entry.or(button(page, 'Leave')).first().waitFor().then(() => entry.isVisible())) await entry.click();
    await button(page, 'Leave').waitFor();
    const { asked, on } = await page.evaluate(() => {
      const { microphoneOn, cameraOn } = window.visavis.media;
      return { asked: window.asked, on: [microphoneOn, cameraOn] };
    });
    assert.deepEqual({ asked, on }, { asked: [], on: [false, false] }, way);
  }
  await context.close();
  await server.close();
});
