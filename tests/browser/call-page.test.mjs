// What the call's page says and where, and what its buttons do, with people who are made up.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { launch, newPage, Server, until } from './harness.mjs';
import { openStage } from './made-up-call.mjs';

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

/** A call with so many people, and what was sent to the server in `window.sent`. */
async function call(people, { options, ...query } = {}, from = browser) {
  const page = await newPage(from, options);
  await openStage(page, server.url, query);
  await page.evaluate((count) => {
    window.sent = [];
    window.madeUp.call.session.send = async (message) => void window.sent.push(message);
    window.madeUp.people(count);
  }, people);
  return page;
}

const close = (page) => page.context().close();
const toasts = (page) => page.locator('.toast').allTextContents();
const noToasts = (page) => until('no toasts', async () => (await page.locator('.toast').count()) === 0);
const hostActions = (page) => page.evaluate(() => window.sent.filter(({ type }) => type === 'host').map(({ action, peer }) => `${action} ${peer ?? ''}`.trim()));
const people = (page) => page.getByRole('button', { name: 'People', exact: true });
const event = (page, one) => page.evaluate((it) => window.madeUp.event(it), one);

const LONG = 'A very long name that goes on and on until it has sixty-four let';

for (const [width, height] of [[320, 568], [390, 844], [768, 1024], [1280, 800], [1920, 1080]]) {
  test(`notices cover nothing, ${width} by ${height}`, async () => {
    const page = await call(4, { host: true, room: { lobby: true }, options: { viewport: { width, height }, reducedMotion: 'reduce' } });
    const covered = () => page.evaluate(() => {
      const over = [];
      const shown = (element) => element.getClientRects().length > 0;
      const clipped = (element) => {
        const { left, right, top, bottom } = element.getBoundingClientRect();
        const frame = element.closest('.knocks, .toasts')?.getBoundingClientRect();
        return frame ? { left, right, top: Math.max(top, frame.top), bottom: Math.min(bottom, frame.bottom) } : { left, right, top, bottom };
      };
      const said = [...document.querySelectorAll('.toast, .notice, .banner')].filter(shown);
      const things = [...document.querySelectorAll('.tile, button, a, h1, .count, input, textarea, .line, .person-name')].filter(shown);
      for (const notice of said) {
        const box = clipped(notice);
        for (const thing of things) {
          if (notice.contains(thing)) continue;
          const other = thing.getBoundingClientRect();
          const apart = box.right <= other.left + 0.5 || other.right <= box.left + 0.5 || box.bottom <= other.top + 0.5 || other.bottom <= box.top + 0.5;
          // What lies under a panel on a narrow window is not seen anyway.
          const hidden = !thing.contains(document.elementFromPoint(other.left + other.width / 2, other.top + other.height / 2));
          if (!apart && !hidden) over.push(`${notice.className} over ${thing.className || thing.tagName} ${thing.textContent}`);
        }
        if (box.left < 0 || box.right > innerWidth || box.bottom > innerHeight) over.push(`${notice.className} beside the window`);
      }
      return { over, said: said.length };
    });
    const check = async (where, least) => {
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
      const { over, said } = await covered();
      assert.deepEqual(over, [], where);
      assert.ok(said >= least, `${where}: ${said} notices`);
    };
    await page.evaluate((name) => {
      window.madeUp.event({ type: 'peer-joined', peer: window.madeUp.peer(7, { name }) });
      window.madeUp.event({ type: 'chat', id: 9, from: 'peer-1', text: 'word '.repeat(60), at: new Date().toISOString() });
    }, LONG);
    await check('toasts', 1);
    await page.evaluate((name) => {
      window.madeUp.event({ type: 'call', call: 'c', state: 'ringing', from: 'peer-1', to: 'peer-0' });
      for (const [id, who] of [['x', 'Eve'], ['y', name], ['z', 'Mallory']]) window.madeUp.event({ type: 'lobby', peer: id, name: who });
    }, LONG);
    await check('knocks and a ring', 4);
    await page.getByRole('button', { name: 'Chat' }).click();
    await check('with the chat', 4);
    await close(page);
  });
}

test('with large text in a low window a notice is whole, and beside no button', async () => {
  const page = await call(3, { options: { viewport: { width: 844, height: 390 }, reducedMotion: 'reduce' } });
  await page.evaluate(() => { document.documentElement.style.fontSize = '32px'; });
  await page.evaluate(() => window.madeUp.event({ type: 'peer-joined', peer: window.madeUp.peer(7, { name: 'Alan' }) }));
  await page.getByText('Alan is here').waitFor();
  const { toast, line, dock } = await page.evaluate(() => {
    const box = (selector) => document.querySelector(selector).getBoundingClientRect().toJSON();
    return { toast: box('.toast:last-child'), line: box('.toasts'), dock: box('.dock button') };
  });
  assert.ok(toast.top >= line.top && toast.bottom <= line.bottom + 0.5, `cut off: ${JSON.stringify({ toast, line })}`);
  assert.ok(toast.bottom <= dock.top, `over the buttons: ${JSON.stringify({ toast, dock })}`);
  await close(page);
});

test('a knock makes a sound, and keeps Admit and Deny until it is answered', async () => {
  const page = await newPage(browser);
  await page.addInitScript(() => {
    window.tones = 0;
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...at) {
      window.tones += 1;
      return start.apply(this, at);
    };
  });
  await openStage(page, server.url, { host: true, room: { lobby: true } });
  await page.evaluate(() => {
    window.sent = [];
    window.madeUp.call.session.send = async (message) => void window.sent.push(message);
  });
  const now = performance.now();
  await event(page, { type: 'lobby', peer: 'x', name: 'Eve' });
  await event(page, { type: 'lobby', peer: 'y', name: 'Ada' });
  const knocks = page.getByRole('list', { name: 'Waiting in the lobby' });
  await knocks.getByText('Eve is waiting in the lobby').waitFor();
  assert.ok(await page.evaluate(() => window.tones) >= 2, 'a sound');
  await event(page, { type: 'chat', id: 5, from: 'peer-0', text: 'x', at: new Date().toISOString() });
  // Longer than what goes by.
  await until('other notices would be gone', () => performance.now() - now > 6000);
  await knocks.getByRole('button', { name: 'Admit Eve' }).click();
  await knocks.getByRole('button', { name: 'Deny Ada' }).click();
  assert.deepEqual(await hostActions(page), ['admit x', 'deny y']);
  // With the list of people open they are in it, and in one place only.
  await people(page).click();
  await page.getByRole('button', { name: 'Admit Eve' }).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Admit Eve' }).count(), 1);
  await event(page, { type: 'peer-left', peer: 'x', reason: 'left' });
  await page.getByRole('button', { name: 'Admit Eve' }).waitFor({ state: 'detached' });
  await close(page);
});

test('a double click on Mute mutes, and nothing else', async () => {
  const page = await call(4, { host: true });
  await people(page).click();
  const mute = page.getByRole('button', { name: 'Mute Person 2' });
  const place = await mute.boundingBox();
  const [x, y] = [place.x + place.width / 2, place.y + place.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.up();
  await page.evaluate(() => window.madeUp.person(2, { microphone: false }));
  await page.mouse.down();
  await page.mouse.up();
  assert.deepEqual([...new Set(await hostActions(page))], ['mute peer-2']);
  const where = await page.evaluate(([left, top]) => document.elementFromPoint(left, top).closest('button')?.getAttribute('aria-label'), [x, y]);
  assert.equal(where, 'Mute Person 2', 'the button is where it was');
  await close(page);
});

test('rows stay under the pointer when a peer leaves or knocks', async () => {
  const page = await call(6, { host: true, room: { lobby: true } });
  await people(page).click();
  const remove = page.getByRole('button', { name: 'Remove Person 4' });
  await remove.hover();
  const { x, y } = await remove.boundingBox();
  await event(page, { type: 'peer-left', peer: 'peer-1', reason: 'left' });
  await event(page, { type: 'lobby', peer: 'x', name: 'Eve' });
  const now = await remove.boundingBox();
  assert.deepEqual([now.x, now.y], [x, y]);
  await page.mouse.move(10, 400);
  await page.getByRole('listitem').filter({ hasText: 'Person 1' }).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Admit Eve' }).waitFor();
  await close(page);
});

test('a second click of a double click does not hit the knock that moved up', async () => {
  const page = await call(2, { host: true, room: { lobby: true } });
  for (const [id, name] of [['x', 'Eve'], ['y', 'Ada']]) await event(page, { type: 'lobby', peer: id, name });
  const admit = page.getByRole('button', { name: 'Admit Ada' });
  const place = await admit.boundingBox();
  await page.mouse.move(place.x + 5, place.y + 5);
  await page.mouse.down();
  await page.mouse.up();
  await event(page, { type: 'peer-joined', peer: { id: 'y', name: 'Ada', role: 'participant', joinedAt: new Date().toISOString(), microphone: true, camera: false, screen: false, hand: false, tracks: [], metadata: null } });
  await page.mouse.down();
  await page.mouse.up();
  assert.deepEqual(await hostActions(page), ['admit y']);
  await close(page);
});

test('removing, promoting and ending ask for confirmation', async () => {
  const page = await call(3, { host: true });
  await people(page).click();
  const dialog = page.getByRole('alertdialog');
  for (const [button, question, yes, done] of [
    ['Remove Person 1', 'Remove Person 1 from the call?', 'Remove', 'kick peer-1'],
    ['Make host: Person 2', 'Make Person 2 a host?', 'Make host', 'promote peer-2'],
    ['End the call for all', 'End the call for everybody?', 'End for all', 'end'],
  ]) {
    const before = await hostActions(page);
    await page.getByRole('button', { name: button }).click();
    await dialog.getByRole('heading', { name: question }).waitFor();
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: button }).click();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    assert.deepEqual(await hostActions(page), before, `${button}: not yet`);
    await page.getByRole('button', { name: button }).click();
    await dialog.getByRole('button', { name: yes, exact: true }).click();
    assert.deepEqual(await hostActions(page), [...before, done]);
  }
  await close(page);
});

test('rejoining announces no peer that stayed in the room', async () => {
  const page = await call(4);
  await noToasts(page);
  await page.evaluate(() => {
    const { call, peer } = window.madeUp;
    const self = peer(0, { id: 'peer-new' });
    call.session.emit('welcome', {
      type: 'welcome', self, session: 't', secret: 't', state: 'joined', room: call.room, peers: [peer(1), peer(3), peer(8)], iceServers: [], ttlSeconds: 3600,
      heartbeatMs: 15_000, resumeWindowMs: 30_000, lastId: 50, features: [],
    });
  });
  assert.deepEqual(await page.locator('.tile .tile-name').allTextContents(), ['Person 1', 'Person 3', 'Person 8', 'Me (you)']);
  assert.deepEqual(await toasts(page), []);
  await event(page, { type: 'peer-joined', peer: await page.evaluate(() => window.madeUp.peer(9)) });
  await event(page, { type: 'peer-left', peer: 'peer-1', reason: 'left' });
  assert.deepEqual(await toasts(page), ['Person 9 is here', 'Person 1 has left']);
  await close(page);
});

test('messages from before the join are in the chat without a toast', async () => {
  const page = await call(3);
  await noToasts(page);
  const old = { type: 'chat', id: 3, from: 'peer-1', text: 'old', at: '2026-01-01T10:00:00Z' };
  await event(page, old);
  assert.deepEqual(await toasts(page), []);
  assert.equal(await page.locator('#unread').isVisible(), false);
  await page.evaluate(() => window.madeUp.event({ type: 'chat', id: 4, from: 'peer-1', text: 'new', at: new Date(Date.now() + 1000).toISOString() }));
  assert.deepEqual(await toasts(page), ['Person 1: new']);
  // Whoever comes in again is told the last lines again.
  await event(page, old);
  await page.getByRole('button', { name: 'Chat' }).click();
  assert.deepEqual(await page.locator('.line-text').allTextContents(), ['old', 'new']);
  await close(page);
});

test('a private line is marked, addresses are links, and a long name leaves the time visible', async () => {
  const page = await call(3, { options: { locale: 'en-US', timezoneId: 'UTC', viewport: { width: 390, height: 844 } } });
  await page.evaluate((name) => window.madeUp.person(2, { name }), LONG);
  const requests = [];
  page.on('request', (request) => requests.push(request.url()));
  const line = (id, from, text, to) => ({ type: 'chat', id, from, text, at: '2026-11-30T14:05:00Z', ...(to ? { to } : {}) });
  await event(page, line(1, 'peer-2', 'See https://example.org/a_(b)?c=d&e#f, (http://example.org) or javascript:alert(1).'));
  await event(page, line(2, 'peer-1', 'psst', 'peer-0'));
  await event(page, line(3, 'peer-0', 'pssst', 'peer-1'));
  await page.getByRole('button', { name: 'Chat' }).click();
  const log = page.getByRole('log');
  assert.deepEqual(await log.locator('a').evaluateAll((links) => links.map((link) => [link.getAttribute('href'), link.textContent, link.target])), [
    ['https://example.org/a_(b)?c=d&e#f', 'https://example.org/a_(b)?c=d&e#f', '_blank'],
    ['http://example.org/', 'http://example.org', '_blank'],
  ]);
  for (const rel of await log.locator('a').evaluateAll((links) => links.map((link) => link.rel))) assert.match(rel, /noopener/);
  assert.equal(await log.locator('.line').nth(0).locator('.line-text').textContent(), 'See https://example.org/a_(b)?c=d&e#f, (http://example.org) or javascript:alert(1).');
  await log.locator('.line').nth(1).getByText('Only to you').waitFor();
  await log.locator('.line').nth(2).getByText('Only to Person 1').waitFor();
  assert.deepEqual(await log.locator('.line').nth(0).getByText('Only to').count(), 0);
  const time = log.locator('.line').nth(0).locator('time');
  assert.match(await time.textContent(), /^2:05\sPM$/, 'as Americans write it');
  const inside = await time.evaluate((element) => element.getBoundingClientRect().right <= element.closest('.panel').getBoundingClientRect().right);
  assert.ok(inside, 'the time is in the panel');
  assert.deepEqual(requests, [], 'nothing is fetched');
  await close(page);
  const british = await call(2, { options: { locale: 'en-GB', timezoneId: 'UTC' } });
  await event(british, line(1, 'peer-1', 'hello'));
  await british.getByRole('button', { name: 'Chat' }).click();
  assert.equal(await british.getByRole('log').locator('time').textContent(), '14:05');
  await close(british);
});

test('denied devices are reported once, in words for a participant of the call', async () => {
  const denied = await launch({ devices: 'denied' });
  const page = await call(2, {}, denied);
  await noToasts(page);
  const button = page.getByRole('button', { name: 'Turn camera on' });
  for (let clicks = 0; clicks < 3; clicks += 1) {
    await page.evaluate(() => (window.told = false));
    await page.evaluate(() => window.madeUp.call.media.on('problem', () => (window.told = true)));
    await button.click();
    await until('the browser says no', () => page.evaluate(() => window.told));
  }
  const shown = await toasts(page);
  assert.equal(shown.length, 1, shown.join());
  assert.doesNotMatch(shown[0], /join/);
  assert.match(shown[0], /not allowed to use your camera/);
  await denied.close();
});

test('P opens the list of people and moves the focus into it and back', async () => {
  for (const host of [false, true]) {
    const page = await call(3, { host });
    await page.evaluate(() => document.activeElement?.blur());
    await page.keyboard.press('p');
    assert.ok(await page.evaluate(() => document.activeElement.closest('aside') !== null), 'in the panel');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'People');
    await page.keyboard.press('p');
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'People');
    await close(page);
  }
});

test('the own avatar has the colour that the others see', async () => {
  const page = await call(2);
  for (const id of ['abc', 'peer-77', 'q9']) {
    const hues = await page.evaluate((own) => {
      const { call, peer } = window.madeUp;
      call.session.emit('welcome', {
        type: 'welcome', self: peer(0, { id: own }), session: 't', secret: 't', state: 'joined', room: call.room, peers: [peer(1), peer(2, { id: `${own}x` })], iceServers: [], ttlSeconds: 3600,
        heartbeatMs: 15_000, resumeWindowMs: 30_000, lastId: 50, features: [],
      });
      document.querySelector('button[aria-label=People][aria-expanded=false]')?.click();
      const row = [...document.querySelectorAll('.person:not(.gone)')].find(({ textContent }) => textContent.includes('(you)'));
      return [document.querySelector('.tile.self .avatar'), row.querySelector('.avatar')].map((avatar) => getComputedStyle(avatar).backgroundColor);
    }, id);
    assert.equal(hues[0], hues[1], id);
  }
  await close(page);
});

test('axe finds nothing in the panels and dialogs of a host, in the dark and in every language', async () => {
  for (const locale of ['en', 'de', 'es', 'ar']) {
    const page = await call(4, { host: true, features: ['recording'], room: { lobby: true }, options: { locale, colorScheme: 'dark', viewport: { width: 390, height: 844 }, bypassCSP: true, reducedMotion: 'reduce' } });
    await event(page, { type: 'lobby', peer: 'x', name: 'Eve' });
    await page.evaluate(AXE);
    const check = async (where) => {
      const { violations } = await page.evaluate(() => window.axe.run(document, {
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], rules: { 'label-content-name-mismatch': { enabled: true } },
      }));
      assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join('; ')}`), [], `${where} in ${locale}`);
    };
    await check('knock');
    await page.locator('[aria-describedby="waiting"]').click();
    await page.locator('.controls summary').click();
    await page.locator('.waiting').waitFor();
    await check('people');
    await page.locator('.person .warning').first().click();
    await page.locator('.confirm').waitFor();
    await check('question');
    await close(page);
  }
});

test('a Latin name in an Arabic sentence changes no direction of writing', async () => {
  const page = await call(3, { host: true, options: { locale: 'ar' } });
  await page.evaluate(() => window.madeUp.event({ type: 'peer-joined', peer: window.madeUp.peer(5, { name: 'Ada (UK)' }) }));
  await page.locator('[aria-describedby="waiting"]').click();
  const { toast, own, beside } = await page.evaluate(() => {
    const direction = (element) => getComputedStyle(element).direction;
    const person = document.querySelectorAll('.person')[3];
    const range = document.createRange();
    range.selectNodeContents(person.querySelector('bdi'));
    const name = range.getBoundingClientRect();
    const avatar = person.querySelector('.avatar').getBoundingClientRect();
    return { toast: direction(document.querySelector('.toast')), own: direction(document.querySelector('.tile.self .tile-name')), beside: Math.round(avatar.left - name.right) };
  });
  assert.equal(toast, 'rtl');
  assert.equal(own, 'rtl');
  assert.ok(beside >= 0 && beside < 40, `the name stands beside its picture: ${beside}`);
  assert.match(await page.locator('.toast').last().textContent(), /\u2068Ada \(UK\)\u2069/);
  await close(page);
});

test('every target on a phone is at least 44 by 44 pixels', async () => {
  for (const [width, height] of [[320, 568], [360, 740], [390, 844]]) {
    const page = await call(5, { host: true, features: ['recording'], room: { lobby: true }, options: { viewport: { width, height }, hasTouch: true, isMobile: true } });
    await event(page, { type: 'lobby', peer: 'x', name: 'Eve' });
    const check = async (where) => assert.deepEqual(await page.evaluate(smallButtons), [], `${where}, ${width} wide`);
    await check('call');
    await page.getByRole('button', { name: 'Reactions' }).click();
    await check('reactions');
    await page.keyboard.press('Escape');
    await people(page).click();
    await page.getByText('Host controls').click();
    await page.getByRole('button', { name: 'Admit Eve' }).waitFor();
    await check('people');
    await page.getByRole('button', { name: 'Remove Person 1' }).click();
    await check('question');
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Chat' }).click();
    await check('chat');
    await page.getByRole('button', { name: 'Settings' }).click();
    await check('settings');
    await close(page);
  }
  for (const path of ['/', '/r/room', '/m/0123456789abcdef', '/meetings', '/check', '/r/room/recordings']) {
    const page = await newPage(browser, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
    await page.goto(`${server.url}${path}`);
    await page.locator('h1').first().waitFor();
    assert.deepEqual(await page.evaluate(smallButtons), [], path);
    await close(page);
  }
});

/** Buttons, and links that look like some, that a thumb misses. */
function smallButtons() {
  return [...document.querySelectorAll('button, a.button, summary, .switch, select, input:not([type=checkbox])')]
    .filter((element) => element.getClientRects().length > 0)
    .map((element) => [element, element.getBoundingClientRect()])
    .filter(([, { width, height }]) => width < 43.9 || height < 43.9)
    .map(([element, { width, height }]) => `${element.getAttribute('aria-label') ?? element.textContent.trim()} (${element.className}): ${Math.round(width)}x${Math.round(height)}`);
}
