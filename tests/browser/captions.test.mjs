// Captions that another program sends to a room: on the page, and beside the recording.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { BINARY, launch, newRoom, participant, selfId, Server, until } from './harness.mjs';
import { sent } from './publisher.mjs';

const folder = mkdtempSync(path.join(tmpdir(), 'visavis-captions-'));
const server = await Server.start('--recording-dir', folder, '--recording-finalize', 'off');
const key = execFileSync(BINARY, ['--data-dir', server.data, 'api-key', 'create', '--scope', 'captions:write', '--scope', 'recordings'], { encoding: 'utf8' }).trim();
const headers = { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' };
let browser;
before(async () => {
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Sends a line of captions. */
async function caption(room, source, text, final) {
  const body = JSON.stringify({ source, text, final });
  const { status } = await fetch(`${server.url}/api/v1/rooms/${room}/captions`, { method: 'POST', headers, body });
  assert.equal(status, 204);
}

test('captions are shown as text with the name of who speaks, and grow until they are final', async (t) => {
  const room = newRoom();
  const page = await participant(browser, server.url, room, { name: 'Ada' });
  t.after(() => page.context().close());
  const shown = () => page.getByRole('log', { name: 'Captions' }).locator('p').allTextContents();
  await caption(room, await selfId(page), 'Good', false);
  await until('the first line', async () => (await shown()).length === 1);
  assert.deepEqual(await shown(), ['Ada Good']);
  await caption(room, await selfId(page), 'Good morning', true);
  await until('the final line', async () => (await shown())[0] === 'Ada Good morning');

  const attack = '<img src=x onerror="window.struck = true"><b>bold</b> & more';
  await caption(room, '<i>Interpreter</i>', attack, true);
  await until('the second sentence', async () => (await shown()).includes(`<i>Interpreter</i> ${attack}`));
  const found = await page.evaluate(() => ({ markup: document.querySelectorAll('.captions :is(img, i)').length, struck: window.struck }));
  assert.deepEqual(found, { markup: 0, struck: undefined });
  assert.deepEqual(await page.locator('.captions b').allTextContents(), ['Ada', '<i>Interpreter</i>']);
  await until('all of it has been read', async () => (await page.getByRole('log', { name: 'Captions' }).count()) === 0);
});

test('what is said while a room is recorded stands beside the recording', async (t) => {
  const room = newRoom();
  const page = await participant(browser, server.url, room, { name: 'Ada', topology: 'sfu' });
  t.after(() => page.context().close());
  await until('pictures are sent', async () => (await sent(page)).frames > 10);
  const ask = (method, path, body) => fetch(`${server.url}/api/v1/recordings${path}`, { method, headers, body: body && JSON.stringify(body) });
  assert.equal((await ask('POST', '', { room })).status, 202);
  const listed = async () => (await (await ask('GET', `?room=${room}`)).json()).recordings[0];
  const recording = await until('the recording', listed);
  assert.equal((await ask('GET', `/${recording.recording}/captions`)).status, 404);
  await caption(room, await selfId(page), 'not yet', false);
  await caption(room, await selfId(page), 'One <b>&\n\n00:00.000 --> 00:09.000', true);
  await caption(room, 'Interpreter', 'Two', true);
  const known = await until('the captions', async () => (await listed()).captionsUrl && listed());
  const answer = await fetch(new URL(known.captionsUrl, server.url));
  assert.match(answer.headers.get('content-type'), /^text\/vtt/);
  const text = await until('both cues', async () => {
    const text = await (await fetch(new URL(known.captionsUrl, server.url))).text();
    return text.includes('Two') && text;
  });
  assert.match(text, /^WEBVTT\n\n\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}\n<v Ada>One &lt;b&gt;&amp; 00:00\.000 --&gt; 00:09\.000\n\n/);
  assert.match(text, /\n<v Interpreter>Two\n$/);
  // The browser reads it as two cues.
  const cues = await page.evaluate(async (text) => {
    const track = Object.assign(document.createElement('track'), { src: URL.createObjectURL(new Blob([text], { type: 'text/vtt' })) });
    document.body.append(Object.assign(document.createElement('video')));
    [...document.querySelectorAll('video')].at(-1).append(track);
    track.track.mode = 'hidden';
    await new Promise((resolve) => track.addEventListener('load', resolve));
    return [...track.track.cues].map((cue) => cue.getCueAsHTML().textContent);
  }, text);
  assert.deepEqual(cues.toSorted(), ['One <b>& 00:00.000 --> 00:09.000', 'Two']);

  assert.equal((await ask('POST', '/stop', { room })).status, 202);
  await until('it is ready', async () => (await listed()).state === 'ready');
  assert.equal(readFileSync(path.join(folder, readdirSync(folder).find((name) => name.endsWith('.vtt'))), 'utf8'), text);
  assert.equal((await ask('DELETE', `/${recording.recording}`)).status, 204);
  assert.deepEqual(readdirSync(folder).filter((name) => name.endsWith('.vtt')), []);
});
