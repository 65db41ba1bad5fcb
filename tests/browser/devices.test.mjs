// Microphone, camera and screen belong to whoever asked for them, and only as long: what arrives late is stopped, what was
// chosen is what is used, and nothing but its own button opens a device that was closed.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launch, newPage, newRoom, participant, selfId, Server, until, visit } from './harness.mjs';

let server;
let browser;
before(async () => {
  server = await Server.start();
  browser = await launch({ flags: ['--use-fake-device-for-media-stream=device-count=3'] });
});
after(async () => {
  await browser?.close();
  await server?.close();
});

const close = (...pages) => Promise.all(pages.map((page) => page.context().close()));
const button = (page, name) => page.getByRole('button', { name, exact: true });

/**
 * Stands between the page and its devices: notes every request and every track, copies too; holds answers back while
 * `devices.hold` is set; refuses as `devices.refuse` says.
 */
function watchDevices() {
  const devices = { hold: false, held: [], tracks: [], requests: [], pending: 0, mostPending: 0, refuse: () => null };
  const { mediaDevices } = navigator;
  for (const name of ['getUserMedia', 'getDisplayMedia']) {
    const real = mediaDevices[name].bind(mediaDevices);
    mediaDevices[name] = async (constraints) => {
      devices.requests.push({ name, constraints });
      devices.pending += 1;
      devices.mostPending = Math.max(devices.mostPending, devices.pending);
      try {
        if (devices.hold) await new Promise((resolve) => devices.held.push(resolve));
        const refusal = devices.refuse(constraints, devices.live());
        if (refusal) throw new DOMException('refused', refusal);
        const stream = await real(constraints);
        devices.tracks.push(...stream.getTracks());
        return stream;
      } finally {
        devices.pending -= 1;
      }
    };
  }
  const { clone } = MediaStreamTrack.prototype;
  MediaStreamTrack.prototype.clone = function () {
    const copy = clone.call(this);
    devices.tracks.push(copy);
    return copy;
  };
  devices.live = () => devices.tracks.filter(({ readyState }) => readyState === 'live');
  devices.release = () => {
    devices.hold = false;
    for (const resolve of devices.held.splice(0)) resolve();
  };
  window.devices = devices;
}

/** A page whose devices are watched. */
async function watched(options) {
  const page = await newPage(browser, options);
  await page.addInitScript(watchDevices);
  return page;
}

const hold = (page) => page.evaluate(() => { window.devices.hold = true; });
const asked = (page) => until('a request', () => page.evaluate(() => window.devices.held.length > 0));
/** Lets the devices answer, and waits until every answer has been dealt with. */
const answer = (page) => page.evaluate(async () => {
  window.devices.release();
  while (window.devices.pending > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await new Promise((resolve) => setTimeout(resolve, 100));
});
const live = (page) => page.evaluate(() => window.devices.live().map(({ kind, label }) => `${kind} ${label}`));
const requests = (page) => page.evaluate(() => window.devices.requests.length);
const ended = (page) => page.getByRole('heading', { name: 'You have left the call' }).waitFor();

test('devices that answer after Leave are stopped at once', async () => {
  const page = await watched();
  await page.addInitScript(() => { window.devices.hold = true; });
  await join(page, server.url, newRoom(), { name: 'Ada' });
  await asked(page);
  await button(page, 'Leave').click();
  await ended(page);
  await answer(page);
  assert.deepEqual(await live(page), []);
  await close(page);
});

test('a camera that answers after Leave, or after it was switched off again, is stopped at once', async () => {
  const page = await watched();
  await page.addInitScript(() => localStorage.setItem('visavis.preferences', '{"cameraOn":false}'));
  await join(page, server.url, newRoom(), { name: 'Ada' });
  const cameras = async () => (await live(page)).filter((track) => track.startsWith('video'));
  await hold(page);
  // Off and on again while the first request is under way: one request, and nothing of it is left at the end.
  await button(page, 'Turn camera on').click();
  await page.evaluate(() => {
    void window.visavis.media.setCamera(false);
    void window.visavis.media.setCamera(true);
    void window.visavis.media.setCamera(false);
  });
  await asked(page);
  await answer(page);
  assert.deepEqual(await cameras(), []);
  assert.equal(await page.evaluate(() => window.devices.mostPending), 1);
  await hold(page);
  await button(page, 'Turn camera on').click();
  await asked(page);
  await button(page, 'Leave').click();
  await ended(page);
  await answer(page);
  assert.deepEqual(await live(page), []);
  await close(page);
});

test('a screen is captured once however often it is asked for, and not at all after Leave', async () => {
  const page = await watched();
  await join(page, server.url, newRoom(), { name: 'Ada' });
  const screens = () => page.evaluate(() => window.devices.live().filter(({ id }) => ![window.visavis.media.microphone?.id, window.visavis.media.camera?.id].includes(id)).length);
  await hold(page);
  await button(page, 'Share screen').click();
  await button(page, 'Share screen').click();
  await asked(page);
  await answer(page);
  await button(page, 'Stop sharing').click();
  await button(page, 'Share screen').waitFor();
  assert.equal(await screens(), 0, 'the capture of the first click');
  await hold(page);
  await button(page, 'Share screen').click();
  await asked(page);
  await button(page, 'Leave').click();
  await ended(page);
  await answer(page);
  assert.deepEqual(await live(page), []);
  await close(page);
});

test('no copy of the microphone track outlives the call', async () => {
  const page = await watched();
  await join(page, server.url, newRoom(), { name: 'Ada' });
  await button(page, 'Mute microphone').click();
  await button(page, 'Settings').click();
  await until('copies for the meters', async () => (await live(page)).length >= 3);
  const left = await page.evaluate(() => {
    window.visavis.leave();
    return window.devices.live().map(({ kind }) => kind);
  });
  assert.deepEqual(left, [], 'nothing at the very moment');
  await close(page);
});

for (const transport of ['websocket', 'sse', 'socketio']) {
  test(`a join that is left before it is answered leaves nobody in the room, over ${transport}`, async () => {
    const room = newRoom();
    const grace = await participant(browser, server.url, room, { name: 'Grace' });
    const page = await newPage(browser);
    await page.goto(`${server.url}/check`);
    await grace.evaluate(() => {
      window.came = [];
      window.visavis.on('joined', ({ name }) => window.came.push(name));
    });
    await page.evaluate(async ([name, to]) => {
      const { Call } = await import('/sdk/index.js');
      const call = new Call({ transports: [to] });
      call.join({ room: name, name: 'Ghost' }).catch(() => {});
      call.leave();
      // Behind it, and answered after it.
      window.next = new Call({ transports: [to] });
      await window.next.join({ room: name, name: 'Next' });
    }, [room, transport]);
    await until('the next one', () => grace.evaluate(() => window.came.includes('Next')));
    await until('no ghost', () => grace.evaluate(() => window.visavis.peers.map(({ name }) => name).join() === 'Next'));
    await close(page, grace);
  });
}

/** What is in use of a kind, and what the list shows. */
const inUse = (page, kind) => page.evaluate((of) => window.visavis.media[of]?.getSettings().deviceId, kind);
const shown = (page, label) => page.getByLabel(label, { exact: true }).inputValue();

for (const where of ['before joining', 'in the call']) {
  test(`another camera and another microphone are used as chosen ${where}, and again at the next visit`, async () => {
    const page = await watched();
    const room = newRoom();
    const enter = where === 'in the call' ? join : visit;
    await enter(page, server.url, room, { name: 'Ada' });
    if (where === 'in the call') await button(page, 'Settings').click();
    for (const [kind, label] of [['camera', 'Camera'], ['microphone', 'Microphone']]) {
      await until('a device', () => inUse(page, kind));
      const list = page.getByLabel(label, { exact: true });
      const options = () => list.locator('option').evaluateAll((all) => all.map(({ value }) => value));
      await until('a list to choose from', async () => (await options()).length >= 3);
      for (const id of [(await options()).at(-1), (await options()).at(-2)]) {
        await list.selectOption(id);
        await until(`${kind} ${id}`, async () => (await inUse(page, kind)) === id);
        await until('the list to say so', async () => (await shown(page, label)) === id);
      }
    }
    const chosen = [await inUse(page, 'camera'), await inUse(page, 'microphone')];
    assert.equal(await page.evaluate(() => window.visavis.media.camera.readyState), 'live');
    assert.equal((await live(page)).filter((track) => track.startsWith('video')).length, 1, 'the former camera is given back');
    // Another page, so that nothing but what was remembered is left.
    const next = await page.context().newPage();
    await visit(next, server.url, newRoom(), { name: 'Ada' });
    await until('what was chosen', async () => JSON.stringify([await inUse(next, 'camera'), await inUse(next, 'microphone')]) === JSON.stringify(chosen));
    await close(page);
  });
}

test('a chosen device that is gone is replaced by the default, with a notice', async () => {
  const page = await watched();
  await page.addInitScript(() => localStorage.setItem('visavis.preferences', JSON.stringify({ camera: 'f'.repeat(64), microphone: 'e'.repeat(64) })));
  await visit(page, server.url, newRoom(), { name: 'Ada' });
  await page.getByRole('status').getByText('The chosen camera is not there. Another one is used.').waitFor();
  await page.getByRole('status').getByText('The chosen microphone is not there. Another one is used.').waitFor();
  assert.deepEqual((await live(page)).map((track) => track.split(' ')[0]).filter((kind, at, all) => all.indexOf(kind) === at).sort(), ['audio', 'video']);
  await close(page);
});

/** A phone, which opens no second camera while one is open. */
const phone = (page) => page.addInitScript(() => {
  window.busy = () => false;
  window.devices.refuse = ({ video }, open) =>
    video && (open.some(({ kind }) => kind === 'video') || window.busy(video)) ? 'NotReadableError' : null;
});

test('where two cameras cannot be open at once the old one goes first, and comes back when the new one is busy', async () => {
  const page = await watched();
  await phone(page);
  await join(page, server.url, newRoom(), { name: 'Ada' });
  await until('a camera', () => inUse(page, 'camera'));
  await button(page, 'Settings').click();
  const list = page.getByLabel('Camera', { exact: true });
  const first = await inUse(page, 'camera');
  const options = await list.locator('option').evaluateAll((all) => all.map(({ value }) => value));
  const [second, third] = options.filter((id) => id !== first);
  await list.selectOption(second);
  await until('the second camera', async () => (await inUse(page, 'camera')) === second);
  await page.evaluate((id) => { window.busy = (video) => video.deviceId?.exact === id; }, third);
  await list.selectOption(third);
  await page.getByRole('status').getByText('That camera could not be opened. The previous one is used again.').waitFor();
  assert.equal(await inUse(page, 'camera'), second);
  await until('the list to say so', async () => (await shown(page, 'Camera')) === second);
  assert.equal((await live(page)).filter((track) => track.startsWith('video')).length, 1);
  await close(page);
});

const TOUCH = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

test('"Other camera" opens no camera that is off, and a busy one leaves the one that worked', async () => {
  const room = newRoom();
  const grace = await participant(browser, server.url, room, { name: 'Grace' });
  const page = await watched(TOUCH);
  await phone(page);
  await join(page, server.url, room, { name: 'Ada' });
  const id = await selfId(page);
  const off = grace.locator(`[data-peer="${id}"].no-picture`);
  await until('a camera', () => inUse(page, 'camera'));
  const flip = button(page, 'Other camera');
  await page.evaluate(() => { window.busy = ({ facingMode }) => facingMode !== undefined; });
  await flip.click();
  await page.getByRole('status').getByText('That camera could not be opened. The previous one is used again.').waitFor();
  assert.ok(await inUse(page, 'camera'));
  assert.equal((await live(page)).filter((track) => track.startsWith('video')).length, 1);
  await page.evaluate(() => { window.busy = () => false; });
  await button(page, 'Turn camera off').click();
  await off.waitFor();
  const before = await requests(page);
  await flip.click();
  await page.evaluate(() => window.visavis.media.flipCamera());
  await page.evaluate(() => window.visavis.media.choose('camera', ''));
  assert.equal(await requests(page), before, 'nothing is asked for');
  assert.equal(await page.evaluate(() => window.visavis.media.cameraOn), false);
  assert.equal(await off.count(), 1);
  await flip.click();
  await button(page, 'Turn camera on').click();
  await until('the camera that looks away', () => page.evaluate(() => window.visavis.media.camera && window.visavis.media.facing === 'environment'));
  await off.waitFor({ state: 'detached' });
  await close(page, grace);
});

test('devices that were off stay off at the next visit, and Join opens none', async () => {
  const page = await watched();
  await visit(page, server.url, newRoom(), { name: 'Ada' });
  await until('both', async () => (await live(page)).length >= 2);
  await button(page, 'Turn camera off').click();
  await page.getByText('Join muted').click();
  for (const again of [1, 2]) {
    await visit(page, server.url, newRoom(), { name: 'Ada' });
    await button(page, 'Join').click();
    await button(page, 'Turn camera on').waitFor();
    await button(page, 'Unmute microphone').waitFor();
    assert.equal(await requests(page), 0, `visit ${again}`);
  }
  await button(page, 'Unmute microphone').click();
  await until('the microphone', () => page.evaluate(() => window.visavis.media.microphoneOn));
  assert.deepEqual((await live(page)).map((track) => track.split(' ')[0]), ['audio']);
  await close(page);
});

test('a microphone that the system silences is shown to its owner and to the others until it returns', async () => {
  const room = newRoom();
  const grace = await participant(browser, server.url, room, { name: 'Grace' });
  const page = await watched();
  await join(page, server.url, room, { name: 'Ada' });
  const id = await selfId(page);
  const silence = (kind, muted) => page.evaluate(([of, on]) => {
    const track = window.visavis.media[of];
    Object.defineProperty(track, 'muted', { configurable: true, value: on });
    track.dispatchEvent(new Event(on ? 'mute' : 'unmute'));
  }, [kind, muted]);
  const badge = grace.locator(`[data-peer="${id}"]`).getByRole('img', { name: 'Microphone off', exact: true });
  await until('the microphone', () => page.evaluate(() => window.visavis.media.microphoneOn));
  await badge.waitFor({ state: 'hidden' });
  await silence('microphone', true);
  const told = page.getByRole('alert').filter({ hasText: 'silenced the microphone' });
  await told.waitFor();
  await badge.waitFor();
  assert.equal(await page.evaluate(() => window.visavis.media.microphoneOn), true, 'what the user wants stays');
  await silence('microphone', false);
  await told.waitFor({ state: 'hidden' });
  await badge.waitFor({ state: 'hidden' });
  await silence('camera', true);
  await page.getByRole('alert').filter({ hasText: 'paused the camera' }).waitFor();
  await grace.locator(`[data-peer="${id}"].no-picture`).waitFor();
  await silence('camera', false);
  await grace.locator(`[data-peer="${id}"].no-picture`).waitFor({ state: 'detached' });
  await close(page, grace);
});

test('pictures and sound that the system paused play again when the page is back', async () => {
  const room = newRoom();
  const grace = await participant(browser, server.url, room, { name: 'Grace' });
  const page = await participant(browser, server.url, room, { name: 'Ada' });
  const playing = () => page.locator('[data-peer] video').evaluate(({ paused, srcObject }) => srcObject && !paused);
  await until('Grace', playing);
  await page.locator('[data-peer] video').evaluate((video) => video.pause());
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await until('Grace again', playing);
  await close(page, grace);
});
