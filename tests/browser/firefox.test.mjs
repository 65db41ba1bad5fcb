// Firefox, with Chromium and with itself: from browser to browser, over the media server, and as a broadcast.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import puppeteer from 'puppeteer-core';
import { flows, launch, newPage, newRoom, PATIENCE_MS, Server, until } from './harness.mjs';

const FIREFOX = ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find(existsSync);

/** Devices that are made up, no question whether they may be used, and calls on this machine alone. */
const PREFERENCES = {
  'intl.accept_languages': 'en-GB, en',
  'media.autoplay.default': 0,
  'media.navigator.permission.disabled': true,
  'media.navigator.streams.fake': true,
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
};

let server;
let chromium;
let foxes = [];
before(async () => {
  if (!FIREFOX) throw new Error('Firefox is missing: apt-get install firefox-esr');
  server = await Server.start();
  chromium = await launch();
});
afterEach(async () => {
  await Promise.all(foxes.map((fox) => fox.close()));
  foxes = [];
  for (const context of chromium.contexts()) await context.close();
});
after(async () => {
  await chromium?.close();
  await server?.close();
});

const address = (room, query) => `${server.url}/r/${room}?${new URLSearchParams(query)}`;

/** A page in a Firefox of its own: one that is not in front decodes no pictures. */
async function inFirefox(room, query) {
  const fox = await puppeteer.launch({ browser: 'firefox', executablePath: FIREFOX, headless: true, extraPrefsFirefox: PREFERENCES });
  foxes.push(fox);
  const page = await fox.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(error.message));
  await page.goto(address(room, query));
  await (await page.waitForSelector('xpath///button[normalize-space()="Join"]')).click();
  await page.waitForSelector('button[aria-label="Leave"]');
  return page;
}

async function inChromium(room, query) {
  const page = await newPage(chromium);
  await page.goto(address(room, query));
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await page.getByRole('button', { name: 'Leave', exact: true }).waitFor();
  return page;
}

const topology = (page) => page.evaluate(() => window.visavis.room.topology);

test('Firefox and Chromium decode each other without the media server', async () => {
  const room = newRoom();
  const ada = await inFirefox(room, { name: 'Ada' });
  const bob = await inChromium(room, { name: 'Bob' });
  for (const page of [ada, bob]) await flows(page, 1);
  assert.equal(await topology(ada), 'mesh');
  assert.deepEqual([ada.problems, bob.problems], [[], []]);
});

test('two Firefoxes and a Chromium go over to the media server', async () => {
  const room = newRoom();
  const ada = await inFirefox(room, { name: 'Ada' });
  const bob = await inChromium(room, { name: 'Bob' });
  await flows(ada, 1);
  const eve = await inFirefox(room, { name: 'Eve' });
  const pages = [ada, bob, eve];
  for (const page of pages) await until('the media server', async () => (await topology(page)) === 'sfu');
  for (const page of pages) await flows(page, 2);
  assert.deepEqual(pages.map(({ problems }) => problems), [[], [], []]);
});

test('Firefox broadcasts and watches', async () => {
  const room = newRoom();
  const studio = await inFirefox(room, { name: 'Ada', role: 'broadcaster' });
  const watchers = [await inChromium(room, { name: 'Bob', role: 'viewer' }), await inFirefox(room, { name: 'Eve', role: 'viewer' })];
  for (const page of watchers) await flows(page, 1);
  const second = await inChromium(room, { name: 'Grace', role: 'broadcaster' });
  for (const page of watchers) await flows(page, 2);
  assert.deepEqual([studio, second, ...watchers].map(({ problems }) => problems), [[], [], [], []]);
});
