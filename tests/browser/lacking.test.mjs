// Browsers that lack something: each page works all the same, or says what is missing.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launch, newPage, newRoom, participant, Server, until } from './harness.mjs';

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

/** What each page is there for: visible once the page works. */
const PAGES = {
  '/': (page) => page.getByRole('button', { name: 'Start a call' }),
  '/r/lacking': (page) => page.getByRole('button', { name: 'Join', exact: true }),
  '/check': (page) => page.getByRole('button', { name: 'Check again' }),
  '/meetings': (page) => page.getByRole('button', { name: 'Schedule', exact: true }),
  '/m/aaaaaaaaaaaaaaaa': (page) => page.getByRole('link', { name: 'Visavis' }),
  '/api': (page) => page.locator('main.reference'),
  '/r/lacking/recordings': (page) => page.locator('main.recordings'),
};

/** How to take a feature away, and the pages that cannot do without it, with the reason that they give. */
const LACKING = {
  RTCPeerConnection: { '/r/lacking': 'webrtc', '/check': 'webrtc' },
  MediaStream: { '/r/lacking': 'webrtc', '/check': 'webrtc' },
  ResizeObserver: {},
  'HTMLDialogElement.prototype.showModal': {},
  'HTMLDialogElement.prototype.close': {},
  WebSocket: {},
  ReadableStream: {},
  TextDecoderStream: {},
  AudioContext: {},
  'AbortSignal.timeout': {},
  'Intl.PluralRules': {},
  'Intl.supportedValuesOf': {},
  'HTMLMediaElement.prototype.setSinkId': {},
  'HTMLVideoElement.prototype.requestPictureInPicture': {},
  'Navigator.prototype.wakeLock': {},
  'Navigator.prototype.clipboard': {},
  'Navigator.prototype.mediaDevices': {},
  'MediaDevices.prototype.getDisplayMedia': {},
  localStorage: {},
  sessionStorage: {},
  'Element.prototype.replaceChildren': Object.fromEntries(Object.keys(PAGES).map((path) => [path, 'old'])),
  'HTMLScriptElement.prototype.noModule': Object.fromEntries(Object.keys(PAGES).map((path) => [path, 'old'])),
};

/** A page without a feature of that path, such as `Intl.PluralRules`. */
async function without(feature) {
  const page = await newPage(browser);
  await page.addInitScript((path) => {
    const names = path.split('.');
    const last = names.pop();
    const owner = names.reduce((object, name) => object[name], window);
    delete owner[last];
  }, feature);
  return page;
}

const notice = (page) => page.locator('[data-unsupported]');

for (const [feature, told] of Object.entries(LACKING)) {
  test(`without ${feature}`, async () => {
    const page = await without(feature);
    for (const [path, works] of Object.entries(PAGES)) {
      await page.goto(`${server.url}${path}`);
      await works(page).or(notice(page)).filter({ visible: true }).first().waitFor();
      const reason = await page.evaluate(() => document.querySelector('[data-unsupported]')?.dataset.unsupported);
      assert.equal(reason, told[path], `${path} without ${feature}`);
      if (reason) assert.equal(await works(page).isVisible(), false, `${path} shows what does not work`);
    }
    // Modules of a browser that is told so may fail; others run without an error.
    if (Object.keys(told).length === 0) assert.deepEqual(page.problems, []);
    await page.context().close();
  });
}

for (const [feature, told] of Object.entries(LACKING)) {
  if ('/r/lacking' in told) continue;
  test(`a call without ${feature}`, async () => {
    const room = newRoom();
    const other = await participant(browser, server.url, room, { name: 'Ada', topology: 'mesh' });
    const page = await without(feature);
    await join(page, server.url, room, { name: 'Eve' });
    const tile = page.locator('.tile[data-peer]');
    await tile.getByText('Ada').waitFor();
    const box = await until('a tile with a size', async () => {
      const seen = await tile.boundingBox();
      return seen && seen.height > 100 && seen;
    });
    assert.ok(box.width > 100, `the tile is ${box.width} px wide`);
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByRole('combobox', { name: 'Language' }).waitFor();
    await page.getByRole('button', { name: 'Close', exact: true }).click();
    await until('the settings are gone', async () => !(await page.getByRole('combobox', { name: 'Language' }).isVisible()));
    assert.deepEqual(page.problems, []);
    for (const one of [page, other]) await one.context().close();
  });
}

test('a length that the browser does not know leaves the stage its height', async () => {
  const page = await newPage(browser);
  await page.route('**/page/*.css', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: (await response.text()).replaceAll('dvh', 'unknown') });
  });
  await join(page, server.url, newRoom(), { name: 'Ada' });
  const { height } = await page.locator('.stage').boundingBox();
  assert.ok(height > 300, `the stage is ${height} px high`);
  await page.context().close();
});

test('an unknown syntax is reported, and so is a module that does not arrive', async () => {
  for (const [reason, answer] of [['old', { contentType: 'text/javascript', body: 'export class Call { #secret @@ }' }], ['load', { status: 502 }]]) {
    for (const path of Object.keys(PAGES)) {
      const page = await newPage(browser);
      await page.route('**/page/**/*.js', (route) => (route.request().url().endsWith('support.js') ? route.continue() : route.fulfill(answer)));
      await page.goto(`${server.url}${path}`);
      await page.locator(`[data-unsupported="${reason}"]`).waitFor();
      await page.context().close();
    }
  }
});

test('the notice speaks the language of the browser', async () => {
  for (const [locale, text, dir] of [['de-DE', 'Dieser Browser', 'ltr'], ['es-MX', 'Este navegador', 'ltr'], ['ar', 'المتصفح', 'rtl'], ['fi', 'This browser', 'ltr']]) {
    const page = await newPage(browser, { locale });
    await page.addInitScript(() => delete window.RTCPeerConnection);
    await page.goto(`${server.url}/r/lacking`);
    await notice(page).getByText(text).first().waitFor();
    assert.equal(await notice(page).getAttribute('dir'), dir);
    await page.context().close();
  }
});
