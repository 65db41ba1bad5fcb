// A recording of a publisher whose packets are lost: the program in tests/long runs this in a network namespace that
// drops five packets in a hundred each way.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { launch, newRoom, Server, until } from '../browser/harness.mjs';
import { decode, lags, mediaFiles, probe } from '../browser/media-file.mjs';
import { noteOf, publisher, sent } from '../browser/publisher.mjs';

const PORT = process.env.LOSSY_PORT;
const SECONDS = 10;

/** How many packets the rules have let pass, and how many they have dropped. */
function counters() {
  const { nftables } = JSON.parse(execFileSync('nft', ['-j', 'list', 'table', 'inet', 'lossy'], { encoding: 'utf8' }));
  const packets = (name) => nftables.find(({ counter }) => counter?.name === name).counter.packets;
  return { all: packets('seen'), dropped: packets('dropped') };
}

for (const codec of ['VP8', 'H264']) {
  test(`with 5% loss each way a recording of ${codec} is complete after retransmission`, async (t) => {
    const before = counters();
    const server = await Server.start('--record', 'all', '--recording-finalize', 'off', '--media-port', PORT);
    t.after(() => server.close());
    const browser = await launch();
    t.after(() => browser.close());
    const page = await publisher(browser, server.url, newRoom(), codec);
    const began = await until('pictures are sent', async () => { const now = await sent(page); return now.frames > 0 && now; });
    assert.equal(began.codec, `video/${codec}`);
    await page.waitForTimeout(SECONDS * 1000);
    const { frames } = await sent(page);
    await page.getByRole('button', { name: 'Leave', exact: true }).click();
    await browser.close();
    const recordings = path.join(server.data, 'recordings');
    const file = await until('the file is closed', () => mediaFiles(recordings).find((file) => noteOf(file).state === 'ready'));
    const after = counters();
    const loss = (after.dropped - before.dropped) / (after.all - before.all);
    const { lostPackets, droppedPackets, durationMs } = noteOf(file);
    const { video, audio, complaints } = await probe(file);
    t.diagnostic(`${(loss * 100).toFixed(1)}% of ${after.all - before.all} packets dropped, ${lostPackets} missing in the end; ${video.nb_read_packets} of ${frames} pictures`);
    assert.ok(loss > 0.03 && loss < 0.07, `${loss}`);
    assert.deepEqual([droppedPackets, complaints, await decode(file)], [0, '', '']);
    // The last packet before the end may have no time to come again.
    assert.ok(lostPackets <= 1, `${lostPackets} packets are missing`);
    assert.ok(Math.abs(audio.nb_read_packets * 20 - durationMs) < 100, `${audio.nb_read_packets} packets of sound in ${durationMs} ms`);
    assert.ok(Math.abs(video.nb_read_packets - frames) <= frames * 0.02 + 1, `${video.nb_read_packets} of ${frames}`);
    const apart = await lags(file);
    t.diagnostic(`lags ${apart}`);
    assert.ok(apart.length >= SECONDS - 2 && apart.every((lag) => Math.abs(lag) <= 40), `sound behind the picture by ${apart} ms`);
  });
}
