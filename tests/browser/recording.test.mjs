// Recordings of what Chromium publishes, looked at with ffprobe and ffmpeg.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { launch, newRoom, participant, Server, until } from './harness.mjs';
import { decode, lags, mediaFiles, picture, probe } from './media-file.mjs';
import { noteOf, publisher, sent } from './publisher.mjs';

const SECONDS = 10;
const folder = mkdtempSync(path.join(tmpdir(), 'visavis-recordings-'));
const server = await Server.start('--record', 'all', '--recording-dir', folder, '--recording-finalize', 'off');
const { features } = await (await fetch(`${server.url}/version`)).json();
const skip = features.includes('recording') ? false : 'this server was built without a recorder';
let browser;
before(async () => {
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

const KINDS = {
  H264: { extension: 'mp4', codec: 'h264', tag: /avc[13]/ },
  VP9: { extension: 'mp4', codec: 'vp9', tag: /vp09/ },
  AV1: { extension: 'mp4', codec: 'av1', tag: /av01/ },
  VP8: { extension: 'webm', codec: 'vp8', tag: /./ },
};

/** When a page sent its first picture, on the page's own clock. */
const firstPicture = (page) => page.evaluate(async () => {
  for (;;) {
    for (const connection of window.visavis.connections().values()) {
      for (const { type, kind, framesSent } of (await connection.getStats()).values()) {
        if (type === 'outbound-rtp' && kind === 'video' && framesSent > 0) return performance.now() - (framesSent - 1) * 40;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
});

/** Leaves; what was sent, and when that ended. */
const leave = (page) => page.evaluate(async () => {
  const [connection] = window.visavis.connections().values();
  const reports = [...(await connection.getStats()).values()];
  const { framesSent } = reports.find(({ type, kind }) => type === 'outbound-rtp' && kind === 'video');
  [...document.querySelectorAll('button')].find((button) => (button.ariaLabel ?? button.textContent).trim() === 'Leave').click();
  return { frames: framesSent, ended: performance.now() };
});

test('the file contains the picture of the camera', { skip }, async () => {
  const known = mediaFiles(folder).length;
  const page = await participant(browser, server.url, newRoom(), { name: 'Ada', topology: 'sfu' });
  await until('pictures are sent', async () => (await sent(page)).frames > 60);
  // The middle of the made-up camera's picture, as the page shows it to oneself: its colours, and how they differ.
  const shown = await page.evaluate(() => {
    const video = [...document.querySelectorAll('video')].find((video) => video.videoWidth > 0);
    const paint = Object.assign(document.createElement('canvas'), { width: 64, height: 48 }).getContext('2d');
    paint.drawImage(video, 0, 0, 64, 48);
    return [...paint.getImageData(0, 0, 64, 48).data].filter((_, at) => at % 4 < 3);
  });
  await page.getByRole('button', { name: 'Leave', exact: true }).click();
  await page.context().close();
  const file = await until('the file is closed', async () => {
    const file = mediaFiles(folder)[known];
    return file && noteOf(file).state === 'ready' && file;
  });
  const found = await picture(file, 1, 64, 48);
  assert.equal(found.length, shown.length);
  const mean = (pixels, colour) => pixels.filter((_, at) => at % 3 === colour).reduce((sum, level) => sum + level, 0) / (pixels.length / 3);
  for (const colour of [0, 1, 2]) {
    const [there, here] = [mean(found, colour), mean(shown, colour)];
    assert.ok(Math.abs(there - here) < 25, `colour ${colour}: ${there} in the file, ${here} on the screen`);
  }
  const green = found.filter((_, at) => at % 3 === 1);
  assert.ok(Math.max(...green) - Math.min(...green) > 50, 'there is something to see');
});

for (const [codec, kind] of Object.entries(KINDS)) {
  test(`${codec} with Opus becomes a file that plays, sound and picture together`, { skip }, async (t) => {
    const known = mediaFiles(folder).length;
    const page = await publisher(browser, server.url, newRoom(), codec);
    const began = await firstPicture(page);
    await page.waitForTimeout(SECONDS * 1000);
    const now = await sent(page);
    assert.equal(now.codec, `video/${codec}`);
    const { frames, ended } = await leave(page);
    const span = (ended - began) / 1000;
    await page.context().close();
    const file = await until('the file is closed', async () => {
      const file = mediaFiles(folder)[known];
      return file && noteOf(file).state === 'ready' && file;
    });
    assert.equal(path.extname(file), `.${kind.extension}`);
    const found = await probe(file);
    t.diagnostic(`${JSON.stringify({ duration: found.duration, span, frames, packets: found.video.nb_read_packets, start: [found.video.start_time, found.audio.start_time] })}`);
    assert.equal(found.complaints, '');
    assert.equal(await decode(file), '');
    assert.equal(found.video.codec_name, kind.codec);
    assert.match(found.video.codec_tag_string, kind.tag);
    assert.equal(found.audio.codec_name, 'opus');
    assert.ok(Math.abs(found.duration - span) < 0.3, `${found.duration} s of ${span}`);
    assert.ok(Math.abs(found.video.nb_read_packets - frames) <= frames * 0.02 + 1, `${found.video.nb_read_packets} of ${frames}`);
    const apart = await lags(file);
    t.diagnostic(`lags ${apart}`);
    assert.ok(apart.length >= SECONDS - 2, `only ${apart.length} flashes with beeps`);
    assert.ok(apart.every((lag) => Math.abs(lag) <= 40), `sound behind the picture by ${apart} ms`);
  });
}

/** Sends pictures of 640x360, then of 1280x720, as a sender does whose path turns out to be wide; the recorded file. */
async function grown(url, files, codec) {
  const known = mediaFiles(files).length;
  const page = await publisher(browser, url, newRoom(), codec);
  await until('small pictures', async () => (await sent(page)).frames > 40);
  await page.evaluate(() => Object.assign(window.testSignal.canvas, { width: 1280, height: 720 }));
  const width = () => page.evaluate(async () => {
    const [connection] = window.visavis.connections().values();
    return [...(await connection.getStats()).values()].find(({ type, kind }) => type === 'outbound-rtp' && kind === 'video')?.frameWidth;
  });
  await until('large pictures', async () => (await width()) === 1280);
  const { frames } = await sent(page);
  await until('some of them', async () => (await sent(page)).frames > frames + 40);
  await leave(page);
  await page.context().close();
  return until('the file is closed', async () => {
    const file = mediaFiles(files)[known];
    return file && noteOf(file).state === 'ready' && noteOf(file).file === path.basename(file) && file;
  });
}

/** The size in the head of an MP4 (`tkhd`, ISO/IEC 14496-12 section 8.3.2). */
function shownSize(file) {
  const head = readFileSync(file).subarray(0, 4096);
  const at = head.indexOf('tkhd');
  const width = at + (head[at + 4] === 1 ? 92 : 80);
  return [head.readUInt16BE(width), head.readUInt16BE(width + 4)];
}

for (const [codec, kind] of Object.entries(KINDS)) {
  test(`${codec} that grows is as large in the file as it gets`, { skip }, async () => {
    const file = await grown(server.url, folder, codec);
    const { video } = await probe(file);
    assert.equal(video.codec_name, kind.codec);
    // Of an MP4 ffprobe tells the size of the first picture, whatever the head says.
    const size = kind.extension === 'mp4' ? shownSize(file) : [video.width, video.height];
    assert.deepEqual(size, [1280, 720]);
    assert.equal(await decode(file), '');
  });
}

test('VP8 that grows becomes an MP4 of its largest size', { skip }, async () => {
  const files = mkdtempSync(path.join(tmpdir(), 'visavis-recordings-'));
  const finalising = await Server.start('--record', 'all', '--recording-dir', files);
  try {
    const file = await until('an MP4', async () => {
      await grown(finalising.url, files, 'VP8');
      return mediaFiles(files).find((name) => name.endsWith('.mp4'));
    });
    const { video } = await probe(file);
    assert.deepEqual([video.codec_name, video.width, video.height], ['h264', 1280, 720]);
    assert.equal(await decode(file), '');
  } finally {
    await finalising.close();
    rmSync(files, { recursive: true, force: true });
  }
});
