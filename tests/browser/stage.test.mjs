// Where the faces are: the page's own call screen with people who are made up, in windows of every size.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, newPage, Server } from './harness.mjs';
import { openStage } from './made-up-call.mjs';

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

const WINDOWS = [
  [320, 480], [320, 568], [360, 640], [375, 667], [390, 844], [412, 915], [480, 320], [568, 320], [600, 960], [667, 375], [768, 1024], [844, 390],
  [915, 412], [1024, 600], [1024, 768], [1280, 720], [1280, 800], [1366, 768], [1440, 900], [1536, 864], [1680, 1050], [1920, 1080], [1921, 1081], [2560, 1080], [2560, 1440],
];
const MOST = 49;

/** What is wrong with where things are, for each number of people up to `most`. */
async function faults({ most, minimum }) {
  // The stage hears of a new size of the window before the frame after it is drawn.
  for (let frames = 0; frames < 2; frames += 1) await new Promise((resolve) => requestAnimationFrame(resolve));
  const { people, call } = window.madeUp;
  const box = (selector) => document.querySelector(selector).getBoundingClientRect();
  const found = [];
  for (let count = 1; count <= most; count += 1) {
    people(count);
    const tiles = [...document.querySelectorAll('.tile')].filter((tile) => tile.getClientRects().length > 0);
    const [header, dock, stage] = [box('.call-header'), box('.dock'), box('.stage')];
    const wrong = new Set();
    const tolerance = 0.01;
    const rectangles = tiles.map((tile) => [tile, tile.getBoundingClientRect()]);
    for (const [tile, { left, right, top, bottom, width, height }] of rectangles) {
      if (top < header.bottom - tolerance) wrong.add('a tile over the header');
      if (bottom > dock.top + tolerance) wrong.add('a tile over the dock');
      if (left < -tolerance || right > innerWidth + tolerance) wrong.add('a tile beside the window');
      if (left < stage.left - tolerance || right > stage.right + tolerance || top < stage.top - tolerance || bottom > stage.bottom + tolerance) wrong.add('a tile beside the stage');
      if (!tile.classList.contains('floating') && (width < minimum[0] || height < minimum[1])) wrong.add(`a tile of ${width}x${height}`);
      for (const [other, rectangle] of rectangles) {
        const apart = other === tile || [tile, other].some((one) => one.classList.contains('floating')) || right <= rectangle.left + tolerance || rectangle.right <= left + tolerance || bottom <= rectangle.top + tolerance || rectangle.bottom <= top + tolerance;
        if (!apart) wrong.add('a tile over another');
      }
      const pager = document.querySelector('.pager:not([hidden])')?.getBoundingClientRect();
      if (pager && bottom > pager.top + tolerance) wrong.add('a tile over the pages');
    }
    const { scrollWidth, scrollHeight } = document.documentElement;
    if (scrollWidth > innerWidth || scrollHeight > innerHeight) wrong.add(`a page of ${scrollWidth}x${scrollHeight}`);
    if (dock.bottom > innerHeight + tolerance || dock.left < 0 || dock.right > innerWidth + tolerance) wrong.add('a dock out of reach');
    for (const button of document.querySelectorAll('.call-header :is(a, button), .dock button')) {
      const { left, right, top, bottom, width } = button.getBoundingClientRect();
      if (width > 0 && (left < -tolerance || right > innerWidth + tolerance || top < -tolerance || bottom > innerHeight + tolerance)) wrong.add(`${button.getAttribute('aria-label')} out of reach`);
    }
    if (!document.querySelector('.pager:not([hidden])') && tiles.length !== count) wrong.add(`${tiles.length} tiles`);
    if (call.peers.length !== count - 1) wrong.add(`${call.peers.length} others`);
    if (wrong.size > 0) found.push(`${count} in ${innerWidth}x${innerHeight}: ${[...wrong].join(', ')}`);
  }
  return found;
}

for (const [name, options, query] of [
  ['a grid', {}, {}],
  ['a grid at a scale of 1.5, from right to left', { deviceScaleFactor: 1.5, locale: 'ar' }, {}],
  ['one large picture and a strip', {}, { layout: 'speaker' }],
]) {
  test(`${name}: no number of people in any window has a tile over header or dock, or scrolls the page`, async () => {
    const page = await newPage(browser, options);
    await openStage(page, server.url, query);
    const found = [];
    let tried = 0;
    for (const [width, height] of WINDOWS) {
      await page.setViewportSize({ width, height });
      found.push(...await page.evaluate(faults, { most: MOST, minimum: [100, 64] }));
      tried += MOST;
    }
    assert.ok(tried >= 500, `${tried} tried`);
    assert.deepEqual(found, []);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });
}

test('tiles are as wide as a picture first: nobody is cut off beside empty space', async () => {
  const page = await newPage(browser);
  await openStage(page, server.url);
  for (const [count, width, height] of [[3, 1280, 800], [3, 1920, 1080], [5, 1280, 720], [6, 1440, 900], [9, 1920, 1080], [3, 768, 1024]]) {
    await page.setViewportSize({ width, height });
    const ratios = await page.evaluate((people) => {
      window.madeUp.people(people);
      return [...document.querySelectorAll('.tile')].map((tile) => tile.clientWidth / tile.clientHeight);
    }, count);
    assert.ok(ratios.every((ratio) => ratio > 1.32), `${count} in ${width}x${height}: ${ratios}`);
  }
  await page.context().close();
});

test('a crowd has pages: raised hands and who speaks come to the first one', async () => {
  const page = await newPage(browser, { viewport: { width: 1280, height: 800 } });
  await openStage(page, server.url);
  const names = () => page.locator('.tile:visible .tile-name').allTextContents();
  await page.evaluate(() => window.madeUp.people(120));
  const first = await names();
  assert.equal(first.length, 49);
  assert.ok(first.includes('Me (you)'), 'oneself is there');
  assert.ok(!first.includes('Person 100'));
  await page.getByRole('button', { name: 'Next page' }).click();
  const second = await names();
  assert.equal(second.length, 49);
  assert.deepEqual(second.filter((name) => first.includes(name)), []);
  await page.getByRole('button', { name: 'Next page' }).click();
  assert.deepEqual([...first, ...second, ...await names()].length, 120);
  assert.ok(await page.getByRole('button', { name: 'Next page' }).isDisabled());
  await page.evaluate(() => window.madeUp.hand(100, true));
  for (let back = 0; back < 2; back += 1) await page.getByRole('button', { name: 'Previous page' }).click();
  const raised = await names();
  assert.ok(raised.includes('Person 100'), 'the raised hand');
  const place = await page.locator('.tile:visible').filter({ hasText: 'Person 100' }).boundingBox();
  for (const other of await page.locator('.tile:visible').all()) {
    const box = await other.boundingBox();
    assert.ok(box.y > place.y || box.x >= place.x, 'the hand stands first');
  }
  await page.evaluate(() => window.madeUp.speak([90, 95]));
  await page.locator('.tile:visible').filter({ hasText: 'Person 90' }).waitFor();
  const spoken = await names();
  assert.ok(spoken.includes('Person 95') && spoken.includes('Person 100') && spoken.includes('Me (you)'));
  assert.equal(raised.filter((name) => !spoken.includes(name)).length, 2, 'the others stay where they are');
  const readable = await page.locator('.tile:visible .tile-name').evaluateAll((labels) => labels.every((label) => label.clientWidth > 40 && parseFloat(getComputedStyle(label).fontSize) >= 12));
  assert.ok(readable, 'names can be read');
  await page.context().close();
});
