// Small windows, touch, on-screen keyboards, notches, large text and forced colours.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launch, newPage, newRoom, participant, Server, until, visit } from './harness.mjs';

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

const PHONES = [[360, 640], [390, 844], [844, 390], [1024, 600]];
const SIDEWAYS = [[640, 360], [568, 320], [512, 300], [844, 390], [360, 640]];

const phone = (width, height, options = {}) => newPage(browser, { viewport: { width, height }, hasTouch: true, isMobile: true, ...options });
const close = (...pages) => Promise.all(pages.map((page) => page.context().close()));
const leave = (page) => page.getByRole('button', { name: 'Leave', exact: true });

/** Text of twice the usual size, as somebody sets it in the browser. */
const largeText = (page) => page.addInitScript(() => {
  addEventListener('DOMContentLoaded', () => document.documentElement.style.setProperty('font-size', '32px'));
});

/** The rectangles of what is visible of a selector, in CSS pixels. */
const rectangles = (page, selector) => page.evaluate((wanted) => [...document.querySelectorAll(wanted)]
  .filter((element) => element.checkVisibility())
  .map((element) => {
    const { left, top, right, bottom, width, height } = element.getBoundingClientRect();
    return { what: element.getAttribute('aria-label') ?? element.textContent.trim() ?? element.className, left, top, right, bottom, width, height };
  })
  .filter(({ width, height }) => width > 0 && height > 0), selector);

const overlaps = (one, other) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;

/** Whether everything that can be pressed lies in the window, and the page does not scroll sideways. */
async function assertWithin(page, { left = 0, right = 0, top = 0, bottom = 0 } = {}, selector = '.call button, .call a, .call textarea') {
  // A screen in the place of a longer one is laid out anew first.
  await until('the page begins at its top', () => page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => resolve(scrollY === 0)))));
  const { width, height } = await page.evaluate(() => ({ width: innerWidth, height: innerHeight }));
  for (const one of await rectangles(page, selector)) {
    const inside = one.left >= left - 0.5 && one.right <= width - right + 0.5 && one.top >= top - 0.5 && one.bottom <= height - bottom + 0.5;
    assert.ok(inside, `“${one.what}” lies outside: ${JSON.stringify(one)} in ${width}x${height}`);
  }
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `the page scrolls ${overflow} px sideways`);
}

for (const [width, height] of PHONES) {
  test(`Join is in sight at ${width}x${height}, with large text too`, async () => {
    for (const large of [false, true]) {
      const page = await phone(width, height);
      if (large) await largeText(page);
      await visit(page, server.url, newRoom(), { name: 'Ada' });
      const box = await page.getByRole('button', { name: 'Join', exact: true }).boundingBox();
      assert.ok(box.y >= 0 && box.y + box.height <= height, `Join lies at ${box.y} of ${height}, large text: ${large}`);
      await page.getByRole('button', { name: 'Join', exact: true }).tap();
      await leave(page).waitFor();
      assert.deepEqual(page.problems, []);
      await close(page);
    }
  });
}

for (const [width, height] of SIDEWAYS) {
  test(`the own picture covers nothing at ${width}x${height}`, async () => {
    const room = newRoom();
    const other = await participant(browser, server.url, room, { name: 'Somebody whose name is as long as a name may be, sixty-four', topology: 'mesh' });
    const page = await phone(width, height);
    await join(page, server.url, room, { name: 'Eve' });
    await page.locator('.tile[data-peer]').waitFor();
    const [own] = await until('the own picture', () => rectangles(page, '.tile.floating'));
    assert.ok(own.width >= 60 && own.height >= 50, `the own picture is ${own.width}x${own.height}`);
    const others = await rectangles(page, '.call-header button, .dock button, .tile:not(.floating) .tile-actions button, .tile:not(.floating) .tile-label');
    assert.ok(others.length > 8, 'there is something to cover');
    for (const one of others) assert.ok(!overlaps(own, one), `the own picture covers “${one.what}”`);
    await assertWithin(page);
    await close(page, other);
  });
}

for (const [upright, low] of [[[844, 390], [844, 160]], [[360, 640], [360, 300]]]) {
  test(`chat is usable over the keyboard at ${low.join('x')}`, async () => {
    const page = await phone(...upright);
    await join(page, server.url, newRoom(), { name: 'Ada' });
    await page.getByRole('button', { name: 'Chat' }).tap();
    const field = page.getByRole('textbox', { name: 'Message' });
    await field.tap();
    // What the keyboard leaves, as browsers have it that make the page lower.
    await page.setViewportSize({ width: low[0], height: low[1] });
    await until('the header gives way', async () => !(await page.locator('.call-header').isVisible()));
    await assertWithin(page, {}, '.chat-form textarea, .chat-form button');
    const log = await page.getByRole('log').boundingBox();
    assert.ok(log.height >= 60, `the log is ${log.height} px high`);
    await field.fill('first');
    await page.getByRole('button', { name: 'Send' }).tap();
    await page.getByRole('log').getByText('first').waitFor();
    assert.equal(await field.evaluate((element) => document.activeElement === element), true, 'the field keeps the focus');
    await page.setViewportSize({ width: upright[0], height: upright[1] });
    await page.locator('.call-header').waitFor();
    await leave(page).waitFor();
    await close(page);
  });
}

test('nothing that can be pressed lies under a notch', async () => {
  for (const [width, height, insets] of [[844, 390, { left: 47, right: 47, bottom: 21 }], [390, 844, { top: 47, bottom: 34 }]]) {
    const page = await phone(width, height);
    const devtools = await page.context().newCDPSession(page);
    await devtools.send('Emulation.setSafeAreaInsetsOverride', { insets });
    await visit(page, server.url, newRoom(), { name: 'Ada' });
    // This page scrolls, downwards.
    await assertWithin(page, { left: insets.left, right: insets.right, bottom: -Infinity }, '.prejoin button, .prejoin input, .prejoin select');
    await page.getByRole('button', { name: 'Join', exact: true }).tap();
    await leave(page).waitFor();
    await assertWithin(page, insets);
    await page.getByRole('button', { name: 'Chat' }).tap();
    await assertWithin(page, insets, '.panel button, .panel textarea');
    await close(page);
  }
});

test('text of twice the size pushes nothing out', async () => {
  for (const [width, height] of [[360, 640], [768, 1024]]) {
    const page = await phone(width, height);
    await largeText(page);
    await join(page, server.url, newRoom(), { name: 'Ada' });
    await assertWithin(page);
    for (const panel of ['People', 'Chat']) {
      await page.getByRole('button', { name: panel, exact: true }).tap();
      await assertWithin(page, {}, '.panel-header button, .chat-form button, .chat-form textarea');
    }
    await page.getByRole('button', { name: 'Close panel' }).tap();
    await page.getByRole('button', { name: 'Settings' }).tap();
    const dialog = await page.getByRole('dialog').boundingBox();
    assert.ok(dialog.x >= 0 && dialog.x + dialog.width <= width && dialog.y + dialog.height <= height);
    await close(page);
  }
});

test('a page at twice its size has everything in sight', async () => {
  for (const [width, height] of [[384, 512], [320, 480]]) {
    const page = await phone(width, height, { deviceScaleFactor: 2 });
    await join(page, server.url, newRoom(), { name: 'Ada' });
    await assertWithin(page);
    await close(page);
  }
});

test('every touch target is at least 44 px', async () => {
  for (const [width, height] of PHONES) {
    const room = newRoom();
    const other = await participant(browser, server.url, room, { name: 'Bob', topology: 'mesh' });
    const page = await phone(width, height);
    await visit(page, server.url, room, { name: 'Ada' });
    const measure = async (selector) => {
      for (const one of await rectangles(page, selector)) {
        assert.ok(one.width >= 43.5 && one.height >= 43.5, `“${one.what}” is ${one.width}x${one.height} at ${width}x${height}`);
      }
    };
    await measure('button, select, input:not([type="checkbox"])');
    await page.getByRole('button', { name: 'Join', exact: true }).tap();
    await page.locator('.tile[data-peer]').waitFor();
    await measure('.call button');
    await page.getByRole('button', { name: 'People', exact: true }).tap();
    await measure('.panel button');
    await page.getByRole('button', { name: 'Chat' }).tap();
    await measure('.panel button, .panel textarea');
    await close(page, other);
  }
});

test('with forced colours switches, meter and Leave can be told apart', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const page = await newPage(browser, { forcedColors: 'active', colorScheme, reducedMotion: 'reduce' });
    await visit(page, server.url, newRoom(), { name: 'Ada' });
    const track = (on) => page.evaluate((checked) => {
      const input = document.getElementById('join-muted');
      input.checked = checked;
      const element = input.nextElementSibling;
      return { background: getComputedStyle(element).backgroundColor, border: getComputedStyle(element).borderTopWidth, knob: getComputedStyle(element, '::after').backgroundColor };
    }, on);
    const [off, on] = [await track(false), await track(true)];
    assert.notEqual(off.background, on.background);
    assert.notEqual(off.background, off.knob);
    assert.notEqual(on.background, on.knob);
    assert.notEqual(off.border, '0px');
    const meter = await page.evaluate(() => [document.querySelector('.meter'), document.querySelector('.meter-bar')].map((element) => getComputedStyle(element).backgroundColor));
    assert.notEqual(meter[0], meter[1]);
    await page.getByRole('button', { name: 'Join', exact: true }).click();
    await leave(page).waitFor();
    const colour = (name) => page.getByRole('button', { name, exact: true }).evaluate((element) => getComputedStyle(element).backgroundColor);
    assert.notEqual(await colour('Leave'), await colour('Raise hand'));
    await close(page);
  }
});

test('pulling the page down does not reload the call', async () => {
  const page = await phone(390, 844);
  await join(page, server.url, newRoom(), { name: 'Ada' });
  for (const tag of ['html', 'body']) {
    assert.equal(await page.locator(tag).evaluate((element) => getComputedStyle(element).overscrollBehaviorY), 'none');
  }
  await close(page);
});

test('where the clipboard is refused the link is shown, to be selected and shared', async () => {
  for (const shares of [true, false]) {
    const page = await phone(390, 844);
    await page.addInitScript((can) => {
      navigator.clipboard.writeText = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
      if (can) navigator.share = (what) => { window.shared = what; return Promise.resolve(); };
      else delete Navigator.prototype.share;
    }, shares);
    const room = newRoom();
    await join(page, server.url, room, { name: 'Ada' });
    await page.getByRole('button', { name: 'Copy link' }).tap();
    const field = page.getByRole('dialog').getByRole('textbox', { name: 'Link' });
    await field.waitFor();
    assert.match(await field.inputValue(), new RegExp(`/r/${room}$`));
    const selected = await field.evaluate((element) => element.value.slice(element.selectionStart, element.selectionEnd));
    assert.match(selected, new RegExp(`/r/${room}$`));
    const share = page.getByRole('button', { name: 'Share…' });
    assert.equal(await share.isVisible(), shares);
    if (shares) {
      await share.tap();
      assert.match(await page.evaluate(() => window.shared.url), new RegExp(`/r/${room}$`));
    }
    await page.getByRole('button', { name: 'Close', exact: true }).tap();
    await field.waitFor({ state: 'detached' });
    await close(page);
  }
});

test('back closes what is open, then asks, and leaves only then', async () => {
  const page = await phone(390, 844);
  const room = newRoom();
  await page.goto(`${server.url}/`);
  await join(page, server.url, room, { name: 'Ada' });
  const back = () => page.evaluate(() => history.back());
  await page.getByRole('button', { name: 'Chat' }).tap();
  await back();
  await until('the panel is closed', async () => !(await page.getByRole('log').isVisible()));
  await page.getByRole('button', { name: 'Reactions', exact: true }).tap();
  await back();
  await until('the row is closed', async () => !(await page.locator('.emoji-row').isVisible()));
  await page.getByRole('button', { name: 'Settings' }).tap();
  await back();
  await until('the dialog is closed', async () => !(await page.getByRole('dialog').isVisible()));
  await leave(page).waitFor();
  const question = page.getByRole('alertdialog', { name: 'Leave the call?' });
  await back();
  await question.waitFor();
  // A second step back is a no, as is the button.
  await back();
  await until('the question is gone', async () => !(await question.isVisible()));
  await back();
  // What has just come up under a finger takes no tap at first.
  const tapUntil = (name, done) => until(name, async () => {
    const button = question.getByRole('button', { name });
    if (await button.isVisible()) await button.tap();
    return done();
  });
  await tapUntil('Cancel', async () => !(await question.isVisible()));
  assert.equal(await page.evaluate(() => window.visavis.session.state), 'connected');
  await back();
  await question.waitFor();
  await tapUntil('Leave call', () => page.evaluate(() => window.visavis.session.state === 'ended'));
  await leave(page).waitFor({ state: 'detached' });
  assert.deepEqual(page.problems, []);
  await close(page);
});

test('what does not fit a small tile is in one menu', async () => {
  const room = newRoom();
  const others = [];
  for (const name of ['Bob', 'Cleo', 'Dan']) others.push(await participant(browser, server.url, room, { name, topology: 'mesh' }));
  const page = await phone(360, 640);
  await join(page, server.url, room, { name: 'Ada' });
  const tile = page.locator('.tile[data-peer]').filter({ hasText: 'Bob' });
  await tile.waitFor();
  await until('small tiles', async () => (await tile.boundingBox()).width < 200);
  assert.equal(await tile.getByRole('button').count(), 1);
  const menu = page.getByRole('dialog');
  await until('the menu is open', async () => {
    // What has just moved under a finger takes no tap.
    await tile.getByRole('button', { name: 'More for Bob' }).tap();
    return menu.isVisible();
  });
  await menu.getByRole('button', { name: 'Keep large: Bob' }).tap();
  await page.locator('.tile.main').filter({ hasText: 'Bob' }).waitFor();
  await close(page, ...others);
});

test('a screen that cannot be shared says why, and a change of mind says nothing', async () => {
  const page = await newPage(browser);
  await page.addInitScript(() => {
    navigator.mediaDevices.getDisplayMedia = () => Promise.reject(new DOMException(...window.refusal));
  });
  await join(page, server.url, newRoom(), { name: 'Ada' });
  const share = async (message, name) => {
    await page.evaluate((refusal) => { window.refusal = refusal; }, [message, name]);
    await page.getByRole('button', { name: 'Share screen' }).click();
  };
  await share('Permission denied', 'NotAllowedError');
  await share('Could not start video source', 'NotReadableError');
  await page.getByText('another program may prevent it').waitFor();
  await share('Permission denied by system', 'NotAllowedError');
  await page.getByText('The system does not let the browser record the screen').waitFor();
  await share('Requested device not found', 'NotFoundError');
  await page.getByText('no screen or window to share').waitFor();
  assert.equal(await page.locator('.toast').count(), 3, 'nothing for the change of mind');
  await close(page);
});

test('the link of the room can be found at any time', async () => {
  const room = newRoom();
  const other = await participant(browser, server.url, room, { name: 'Bob', topology: 'mesh' });
  const page = await phone(360, 640);
  await join(page, server.url, room, { name: 'Ada' });
  await page.locator('.tile[data-peer]').waitFor();
  await page.getByRole('button', { name: 'People', exact: true }).tap();
  await page.locator('.panel').getByText(`/r/${room}`).scrollIntoViewIfNeeded();
  await close(page, other);
});

test('what begins a call is in sight on the first page, in each language', async () => {
  for (const [width, height] of [[844, 390], [1024, 600], [390, 844]]) {
    for (const locale of ['en-GB', 'de-DE', 'ar-EG', 'es-ES']) {
      const page = await newPage(browser, { viewport: { width, height }, locale, hasTouch: true });
      await page.goto(server.url);
      const button = page.locator('.hero .actions button').first();
      await button.waitFor();
      const { y, height: tall } = await button.boundingBox();
      assert.ok(y + tall <= height, `${width}x${height} ${locale}: ${y + tall}`);
      await page.context().close();
    }
  }
});
