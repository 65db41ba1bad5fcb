// What makes a call pleasant, as far as a browser without a face or a loudspeaker can show it: where it needs hardware, a
// script stands in for the browser's part.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launch, mediaFlows, newPage, newRoom, participant, Server, until } from './harness.mjs';

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

/** A pair of whom the first has a browser as `prepare` makes it. */
async function pair(prepare, options) {
  const room = newRoom();
  const grace = await participant(browser, server.url, room, { name: 'Grace', topology: 'mesh' });
  const ada = await newPage(browser, options);
  if (prepare) await ada.addInitScript(prepare);
  await join(ada, server.url, room, { name: 'Ada' });
  await mediaFlows(grace, 1);
  return [ada, grace];
}

test('a phone changes to its other camera and back, and the others go on seeing', async () => {
  const [ada, grace] = await pair(null, { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true });
  const camera = () => ada.evaluate(() => window.visavis.media.camera?.id);
  const own = ada.locator('.tile.self video');
  const first = await camera();
  const flip = ada.getByRole('button', { name: 'Other camera' });
  await flip.click();
  await until('another track', async () => ![first, undefined].includes(await camera()));
  await until('no mirror', async () => !(await own.evaluate((video) => video.classList.contains('mirrored'))));
  await mediaFlows(grace, 1);
  await flip.click();
  await until('the mirror again', () => own.evaluate((video) => video.classList.contains('mirrored')));
  await mediaFlows(grace, 1);
  assert.deepEqual(ada.problems, []);
  await closeAll(ada, grace);
});

test('the loudspeaker that was chosen plays the others, also after a reload', async () => {
  const kitchen = () => {
    window.sinks = [];
    HTMLMediaElement.prototype.setSinkId = async function (id) {
      window.sinks.push([this.closest('[data-peer]') !== null, id]);
    };
    const list = navigator.mediaDevices.enumerateDevices.bind(navigator.mediaDevices);
    navigator.mediaDevices.enumerateDevices = async () =>
      [...await list(), { kind: 'audiooutput', deviceId: 'kitchen', label: 'Kitchen', groupId: '' }];
  };
  const [ada, grace] = await pair(kitchen);
  await ada.getByRole('button', { name: 'Settings' }).click();
  await ada.getByLabel('Loudspeaker').selectOption({ label: 'Kitchen' });
  const routed = () => until('the sound in the kitchen', () => ada.evaluate(() => window.sinks.length > 0 && window.sinks));
  assert.deepEqual(await routed(), [[true, 'kitchen']], 'the others, and not ourselves');
  await ada.reload();
  await mediaFlows(ada, 1);
  assert.ok((await routed()).every(([others, id]) => others && id === 'kitchen'));
  await closeAll(ada, grace);
});

test('the screen stays on during a call, and only then', async () => {
  const locks = () => {
    window.locks = { held: 0, asked: 0 };
    const request = async () => {
      window.locks.held += 1;
      window.locks.asked += 1;
      return { release: async () => void (window.locks.held -= 1) };
    };
    Object.defineProperty(navigator, 'wakeLock', { value: { request } });
  };
  const [ada, grace] = await pair(locks);
  const held = () => ada.evaluate(() => window.locks);
  assert.deepEqual(await held(), { held: 1, asked: 1 });
  // The system takes it away when the page is out of sight.
  await ada.evaluate(() => {
    window.locks.held = 0;
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await until('another lock', async () => (await held()).held === 1);
  await ada.getByRole('button', { name: 'Leave' }).click();
  await until('no lock', async () => (await held()).held === 0);
  await closeAll(ada, grace);
});

test('a browser that plays nothing by itself is asked for a click', async () => {
  const silence = () => {
    const { play } = HTMLMediaElement.prototype;
    window.played = 0;
    HTMLMediaElement.prototype.play = function () {
      if (!window.allowed) return Promise.reject(new DOMException('a click first', 'NotAllowedError'));
      window.played += 1;
      return play.call(this);
    };
  };
  const [ada, grace] = await pair(silence);
  const prompt = ada.getByRole('alert').filter({ hasText: 'The browser plays no sound before you allow it' });
  await prompt.waitFor();
  await ada.evaluate(() => {
    window.allowed = true;
  });
  await ada.getByRole('button', { name: 'Turn sound on' }).click();
  await prompt.waitFor({ state: 'hidden' });
  await until('the sound', () => ada.evaluate(() => window.played > 0));
  await closeAll(ada, grace);
});

test('a picture goes into a window of its own', async () => {
  const windows = () => {
    Object.defineProperty(Document.prototype, 'pictureInPictureEnabled', { get: () => true });
    HTMLVideoElement.prototype.requestPictureInPicture = async function () {
      window.floating = this.closest('[data-peer]')?.dataset.peer;
    };
  };
  const [ada, grace] = await pair(windows);
  const tile = ada.locator('[data-peer]');
  await tile.hover();
  await tile.getByRole('button', { name: 'In a window of its own: Grace' }).click();
  const peer = await tile.getAttribute('data-peer');
  await until('the window', () => ada.evaluate((id) => window.floating === id, peer));
  await closeAll(ada, grace);
});

test('a user who speaks while muted is told so', async () => {
  const tone = () => {
    const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      const picture = wanted.video ? (await real({ video: wanted.video })).getTracks() : [];
      if (!wanted.audio) return new MediaStream(picture);
      const context = new AudioContext();
      const oscillator = context.createOscillator();
      const microphone = context.createMediaStreamDestination();
      oscillator.connect(microphone);
      oscillator.start();
      return new MediaStream([...picture, ...microphone.stream.getTracks()]);
    };
  };
  const [ada, grace] = await pair(tone);
  const hint = ada.getByRole('status').getByText('You are muted: the others cannot hear you');
  await mediaFlows(grace, 1);
  assert.equal(await hint.count(), 0, 'not before');
  await ada.getByRole('button', { name: 'Mute microphone' }).click();
  await hint.waitFor();
  await closeAll(ada, grace);
});

test('nothing moves where reduced motion is preferred', async () => {
  const [ada, grace] = await pair(null, { reducedMotion: 'reduce' });
  await grace.getByRole('button', { name: 'Reactions' }).click();
  await grace.getByRole('button', { name: 'Send 👏' }).click();
  await ada.locator('.reaction').getByText('👏').waitFor();
  await ada.getByRole('button', { name: 'People', exact: true }).click();
  const moving = await ada.evaluate(() => document.getAnimations().filter(({ playState }) => playState === 'running').length);
  assert.equal(moving, 0);
  await ada.locator('.reaction').waitFor({ state: 'detached' });
  await closeAll(ada, grace);
});
