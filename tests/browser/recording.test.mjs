// Recordings of what Chromium publishes, looked at with ffprobe and ffmpeg.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { launch, newRoom, Server, until } from './harness.mjs';
import { decode, lags, mediaFiles, probe } from './media-file.mjs';
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

for (const [codec, kind] of Object.entries(KINDS)) {
  test(`${codec} with Opus becomes a file that plays, sound and picture together`, { skip }, async (t) => {
    const known = mediaFiles(folder).length;
    const page = await publisher(browser, server.url, newRoom(), codec);
    const began = await until('pictures are sent', async () => { const now = await sent(page); return now.frames > 0 && now; });
    assert.equal(began.codec, `video/${codec}`);
    const start = performance.now();
    await page.waitForTimeout(SECONDS * 1000);
    const { frames } = await sent(page);
    const span = (performance.now() - start) / 1000;
    await page.getByRole('button', { name: 'Leave', exact: true }).click();
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
    assert.ok(Math.abs(found.duration - span) < 0.6, `${found.duration} s of ${span}`);
    assert.ok(Math.abs(found.video.nb_read_packets - frames) <= frames * 0.02 + 1, `${found.video.nb_read_packets} of ${frames}`);
    const apart = await lags(file);
    t.diagnostic(`lags ${apart}`);
    assert.ok(apart.length >= SECONDS - 2, `only ${apart.length} flashes with beeps`);
    assert.ok(apart.every((lag) => Math.abs(lag) <= 40), `sound behind the picture by ${apart} ms`);
  });
}
