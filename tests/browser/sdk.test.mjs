// The parts of the SDK that need no browser, and the catalogues of the page.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Backoff } from '../../web/sdk/backoff.js';
import { Outbox } from '../../web/sdk/outbox.js';
import { Roster } from '../../web/sdk/roster.js';
import { withSoundAgain } from '../../web/sdk/sound-again.js';
import { withStereo } from '../../web/sdk/stereo.js';
import { readEventStream } from '../../web/sdk/transport/event-stream.js';
import { fit } from '../../web/page/grid.js';
import { initials } from '../../web/page/names.js';
import { mayBeCode, roomOf } from '../../web/page/room-link.js';

const PAGE = new URL('../../web/page/', import.meta.url);

test('the outbox sends again what the server has not taken, and nothing else', async () => {
  const outbox = new Outbox();
  const first = outbox.add({ type: 'chat', text: '1' });
  const second = outbox.add({ type: 'chat', text: '2' });
  const third = outbox.add({ type: 'chat', text: '3' });
  assert.deepEqual([first, second, third].map(({ message }) => message.seq), [1, 2, 3]);
  outbox.acknowledge(1);
  assert.deepEqual(outbox.resume(2).map(({ seq }) => seq), [3]);
  await first.done;
  await second.done;
  outbox.refuse({ seq: 3, code: 'too-large', message: '' });
  await assert.rejects(third.done, { code: 'too-large' });
  assert.deepEqual(outbox.resume(0), []);
});

test('what came too fast gets a new number behind all others', () => {
  const outbox = new Outbox();
  outbox.add({ type: 'chat', text: 'a' });
  outbox.add({ type: 'chat', text: 'b' });
  assert.deepEqual(outbox.renumber(1), { type: 'chat', text: 'a', seq: 3 });
  assert.equal(outbox.renumber(1), null);
  assert.deepEqual(outbox.resume(0).map(({ text }) => text), ['b', 'a']);
});

test('a new session keeps chat and gives up what was for peers of the old one', async () => {
  const outbox = new Outbox();
  const signal = outbox.add({ type: 'signal', to: 'p' });
  outbox.add({ type: 'chat', text: 'all' });
  const whisper = outbox.add({ type: 'chat', text: 'one', to: 'p' });
  assert.deepEqual(outbox.restart().map(({ text }) => text), ['all']);
  await assert.rejects(signal.done, { code: 'session-unknown' });
  await assert.rejects(whisper.done);
});

test('waits grow to their limit and no further', () => {
  const backoff = new Backoff(100, 1000);
  const waits = Array.from({ length: 8 }, () => backoff.next());
  waits.forEach((wait, attempt) => {
    const ceiling = Math.min(1000, 100 * 2 ** attempt);
    assert.ok(wait >= ceiling / 2 && wait <= ceiling, `${wait} at attempt ${attempt}`);
  });
  backoff.reset();
  assert.ok(backoff.next() <= 100);
});

test('an event stream is read whatever the pieces it comes in', async () => {
  const text = ': hello\n\nid: 7\ndata: {"a":\ndata: 1}\n\ndata:x\r\n\r\nevent: e\n\nid:9\ndata: ü\n\ndata: cut off';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 2, 3, 7, bytes.length]) {
    const frames = [];
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
        controller.close();
      },
    });
    await readEventStream(body, (frame) => frames.push(frame));
    assert.deepEqual(frames, [{ id: '7', data: '{"a":\n1}' }, { id: '', data: 'x' }, { id: '9', data: 'ü' }], `pieces of ${size}`);
  }
});

test('somebody missing from a snapshot is awaited', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const gone = [];
  const roster = new Roster((id) => gone.push(id));
  for (const id of ['a', 'b', 'c']) roster.put({ id });
  roster.snapshot([{ id: 'a' }], 30_000);
  assert.deepEqual(roster.peers.map(({ id }) => id), ['a', 'b', 'c']);
  context.mock.timers.tick(29_000);
  roster.put({ id: 'b' });
  context.mock.timers.tick(2_000);
  assert.deepEqual(gone, ['c']);
  assert.deepEqual(roster.peers.map(({ id }) => id), ['a', 'b']);
});

test('tiles fit into the stage, and no other arrangement of them is larger', () => {
  for (const [count, width, height] of [[1, 1200, 700], [2, 1200, 700], [2, 390, 700], [5, 1200, 700], [12, 390, 700]]) {
    const tile = fit(count, width, height);
    const rows = Math.ceil(count / tile.columns);
    assert.ok(tile.columns * tile.width + (tile.columns - 1) * 10 <= width, `${count} in ${width}x${height}`);
    assert.ok(rows * tile.height + (rows - 1) * 10 <= height + 0.5, `${count} in ${width}x${height}`);
    assert.ok(tile.width * tile.height * count > 0.4 * width * height, `${count} in ${width}x${height} waste room`);
  }
});

test('names and links', () => {
  assert.equal(initials('Ada Lovelace'), 'AL');
  assert.equal(initials(' 😀 smile '), '😀S');
  assert.equal(initials('Ada (UK)'), 'AU');
  assert.equal(initials(''), '');
  assert.equal(roomOf('https://calls.example/r/abc_1?x=1#host=2'), 'abc_1');
  assert.equal(roomOf('https://calls.example/visavis/r/%D0%BA%D1%83%D1%85%D0%BD%D1%8F/'), 'кухня');
  assert.equal(roomOf(' team standup '), 'team standup');
  for (const code of ['K7M 2XR 9DN', 'k7m2xr9dn', 'k7m\u20132xr-9dn']) assert.equal(roomOf(code), 'k7m-2xr-9dn');
  for (const bad of ['', '..', '/r/%E0%A4%A', '\ud800']) assert.equal(roomOf(bad), null, bad);
  for (const slip of ['k7m-2xr-9dn', 'k7m-2xr-9do', 'k7m-2xr-9d', 'k7m-2xrr-9dn']) assert.ok(mayBeCode(slip), slip);
  for (const name of ['abc-def-ghi', 'team-2024-b', 'k7m2xr9dn', 'standup', 'a-1-b']) assert.ok(!mayBeCode(name), name);
});

const catalogue = (name) => JSON.parse(readFileSync(new URL(`locales/${name}`, PAGE), 'utf8'));
const locales = readdirSync(new URL('locales/', PAGE));

test('what a button is called begins with, or contains, what stands on it', () => {
  for (const locale of locales) {
    const texts = catalogue(locale);
    const lower = (text) => text.toLocaleLowerCase();
    for (const key of Object.keys(texts).filter((one) => one.endsWith('Named'))) {
      const shown = texts[key.slice(0, -'Named'.length)];
      if (shown !== undefined) assert.ok(lower(texts[key]).includes(lower(shown)), `${key} in ${locale}: ${texts[key]} without ${shown}`);
    }
  }
});

test('every catalogue says everything, with the same values', () => {
  const english = catalogue('en.json');
  const values = (text) => [...text.matchAll(/\{\w+\}/g)].map(([value]) => value).sort();
  for (const name of locales) {
    const other = catalogue(name);
    const missing = Object.keys(english).filter((key) => !(key in other));
    assert.deepEqual(missing, [], name);
    for (const [key, text] of Object.entries(other)) {
      // A plural form may leave the number out: "one person".
      if (/\.(zero|one|two|few|many|other)$/.test(key)) continue;
      assert.deepEqual(values(text), values(english[key] ?? ''), `${key} in ${name}`);
    }
    const forms = new Intl.PluralRules(name.replace('.json', '')).resolvedOptions().pluralCategories;
    for (const form of forms.filter((each) => each !== 'many' || name === 'ar.json')) {
      assert.ok(`call.people.${form}` in other, `${form} in ${name}`);
    }
  }
});

test('every text that the page asks for is in the catalogue', () => {
  const english = catalogue('en.json');
  const asked = new Set();
  for (const file of readdirSync(PAGE).filter((name) => /\.(js|html)$/.test(name))) {
    const source = readFileSync(new URL(file, PAGE), 'utf8');
    for (const [, key] of source.matchAll(/'([a-z]+\.[A-Za-z.-]+)'|data-text="([^"]+)"/g)) if (key) asked.add(key);
  }
  const sections = new Set(Object.keys(english).map((key) => key.split('.')[0]));
  const isKey = (key) => sections.has(key.split('.')[0]) && !/\.(js|css|html|ics)$/.test(key);
  const missing = [...asked].filter((key) => isKey(key) && !(key in english) && !(`${key}.other` in english));
  assert.deepEqual(missing, []);
  assert.ok(asked.size > 60, 'the search finds texts at all');
});

test('sound is offered to be sent again, once and in its own section', () => {
  const offer = (feedback) => 'v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=rtpmap:111 opus/48000/2\r\n' + feedback + 'a=rtpmap:63 red/48000/2\r\n'
    + 'm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n';
  const complete = offer('a=rtcp-fb:111 nack\r\n');
  assert.equal(withSoundAgain(offer('')), complete);
  assert.equal(withSoundAgain(complete), complete);
});

test('an answer takes both channels of the sections whose offer has them', () => {
  const section = (mid, fmtp) => `m=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:${mid}\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 ${fmtp}\r\n`;
  const [mono, stereo] = ['minptime=10;useinbandfec=1', 'minptime=10;useinbandfec=1;stereo=1'];
  const video = 'm=video 9 UDP/TLS/RTP/SAVPF 97\r\na=mid:9\r\na=rtpmap:97 VP8/90000\r\n';
  const offer = ['v=0\r\n', section(0, mono), section(1, 'stereo=1;sprop-stereo=1'), section(2, 'minptime=10; sprop-stereo=1'), video].join('');
  const answer = (...fmtps) => ['v=0\r\n', ...fmtps.map((fmtp, mid) => section(mid, fmtp)), video].join('');
  const expected = answer(mono, stereo, stereo);
  assert.equal(withStereo(answer(mono, mono, mono), offer), expected);
  assert.equal(withStereo(expected, offer), expected);
  assert.equal(withStereo('v=0\r\n', offer), 'v=0\r\n');
});
