// The parts of the SDK that need no browser, and the catalogues of the page.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Backoff } from '../../web/sdk/backoff.js';
import { Outbox } from '../../web/sdk/outbox.js';
import { Roster } from '../../web/sdk/roster.js';
import { withSoundAgain } from '../../web/sdk/sound-again.js';
import { withStartBitrate } from '../../web/sdk/start-bitrate.js';
import { withStereo } from '../../web/sdk/stereo.js';
import { readEventStream } from '../../web/sdk/transport/event-stream.js';
import { fit } from '../../web/page/call/stage/grid.js';
import { initials } from '../../web/page/base/names.js';
import { mayBeCode, roomOf } from '../../web/page/room/room-link.js';

const PAGE = new URL('../../web/page/', import.meta.url);

/** An outbox whose clock and timers are the test's, at a server that refuses what comes too fast. */
function outboxAt(context, { burst, perSecond }) {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const now = () => Date.now();
  const outbox = new Outbox({ now });
  const server = { tokens: burst, at: now(), taken: [], answers: new Map(), numbers: 0, refusals: 0 };
  /** Does what the server does with a message; `answer` says whether the answer arrives. */
  server.receive = (message, answer = true) => {
    server.tokens = Math.min(burst, server.tokens + ((now() - server.at) / 1000) * perSecond);
    server.at = now();
    server.numbers = Math.max(server.numbers, message.seq);
    if (server.tokens < 1) {
      server.refusals += 1;
      const retryAfterMs = Math.ceil(((1 - server.tokens) / perSecond) * 1000);
      if (answer) outbox.refuse({ seq: message.seq, code: 'rate-limited', message: '', retryAfterMs });
      return;
    }
    server.tokens -= 1;
    if (!server.answers.has(message.seq)) {
      server.answers.set(message.seq, message.text);
      server.taken.push(message.text);
    }
    if (answer) outbox.acknowledge(message.seq);
  };
  return { outbox, server };
}

const lines = (count) => Array.from({ length: count }, (_, index) => String(index));

test('the outbox numbers what it sends, and sends again what was not answered, under the same number', async () => {
  const outbox = new Outbox();
  const first = outbox.add({ type: 'chat', text: '1' });
  const second = outbox.add({ type: 'chat', text: '2' });
  const sent = [];
  outbox.open((message) => sent.push(message));
  assert.deepEqual(sent.map(({ seq, text }) => [seq, text]), [[1, '1'], [2, '2']]);
  outbox.acknowledge(1);
  await first;
  outbox.pause();
  const third = outbox.add({ type: 'chat', text: '3' });
  const again = [];
  outbox.open((message) => again.push(message));
  assert.deepEqual(again.map(({ seq, text }) => [seq, text]), [[2, '2'], [3, '3']]);
  // The server refused it before the cut, and says so again.
  outbox.refuse({ seq: 2, code: 'too-large', message: '' });
  await assert.rejects(second, { code: 'too-large' });
  outbox.end('left');
  await assert.rejects(third, { code: 'left' });
});

for (const [what, limit] of [['the limit of the server', { burst: 200, perSecond: 50 }], ['a narrower one', { burst: 20, perSecond: 10 }]]) {
  test(`a thousand lines get through ${what}, each once and in order, and no promise settles before`, async (context) => {
    const { outbox, server } = outboxAt(context, limit);
    const settled = [];
    const all = lines(1000).map((text) => outbox.add({ type: 'chat', text }).then(() => settled.push(text)));
    outbox.open((message) => server.receive(message));
    for (let step = 0; settled.length < 1000 && step < 20_000; step += 1) {
      context.mock.timers.tick(25);
      await null;
    }
    await Promise.all(all);
    assert.deepEqual(server.taken, lines(1000));
    assert.deepEqual(settled, lines(1000));
    assert.ok(server.numbers <= 2000, `${server.numbers} numbers for 1000 lines`);
  });
}

test('the limits of the server are hardly ever touched', async (context) => {
  const { outbox, server } = outboxAt(context, { burst: 200, perSecond: 50 });
  const all = lines(500).map((text) => outbox.add({ type: 'chat', text }));
  outbox.open((message) => server.receive(message));
  for (let step = 0; server.taken.length < 500 && step < 20_000; step += 1) context.mock.timers.tick(25);
  await Promise.all(all);
  assert.equal(server.refusals, 0);
});

test('a refused message is overtaken by none that was on its way, and waits once', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const outbox = new Outbox({ now: () => Date.now() });
  const sent = [];
  outbox.open((message) => sent.push(message));
  for (const text of ['a', 'b', 'c']) void outbox.add({ type: 'chat', text });
  const limited = (seq) => outbox.refuse({ seq, code: 'rate-limited', message: '', retryAfterMs: 100 });
  outbox.acknowledge(1);
  limited(2);
  limited(3);
  void outbox.add({ type: 'chat', text: 'd' });
  context.mock.timers.tick(99);
  assert.equal(sent.length, 3, 'nothing before its time');
  context.mock.timers.tick(1);
  for (const seq of [4, 5, 6]) outbox.acknowledge(seq);
  assert.deepEqual(sent.map(({ seq, text }) => [seq, text]), [[1, 'a'], [2, 'b'], [3, 'c'], [4, 'b'], [5, 'c'], [6, 'd']]);
});

test('a thousand lines get through cuts, whatever of them the server had taken, each once and in order', async (context) => {
  const { outbox, server } = outboxAt(context, { burst: 200, perSecond: 50 });
  let seed = 7;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const settled = [];
  const all = lines(1000).map((text) => outbox.add({ type: 'chat', text }).then(() => settled.push(text)));
  for (let step = 0; settled.length < 1000 && step < 20_000; step += 1) {
    // What is on its way at a cut arrives or does not, and its answers too.
    const wire = [];
    let arriving = Infinity;
    let answered = Infinity;
    if (step % 10 === 0) [arriving, answered] = [Math.floor(random() * 40), Math.floor(random() * 20)];
    let count = 0;
    outbox.pause();
    outbox.open((message) => wire.push(message));
    for (let message = wire.shift(); message && count < arriving; message = wire.shift()) {
      count += 1;
      server.receive(message, count <= answered);
    }
    context.mock.timers.tick(200);
    await null;
  }
  await Promise.all(all);
  assert.deepEqual(server.taken, lines(1000), `seed 7, ${server.refusals} refusals`);
  assert.deepEqual(settled, lines(1000));
});

test('the outbox refuses messages beyond its limit', async () => {
  const outbox = new Outbox();
  const kept = lines(4096).map((text) => outbox.add({ type: 'chat', text }));
  await assert.rejects(outbox.add({ type: 'chat', text: 'one more' }), { code: 'overloaded' });
  outbox.end('left');
  await assert.rejects(kept[0]);
});

test('a new session keeps chat and gives up what was for peers of the old one', async () => {
  const outbox = new Outbox();
  outbox.open(() => {});
  const signal = outbox.add({ type: 'signal', to: 'p' });
  void outbox.add({ type: 'chat', text: 'all' });
  const whisper = outbox.add({ type: 'chat', text: 'one', to: 'p' });
  outbox.pause();
  outbox.restart();
  const sent = [];
  outbox.open(({ text }) => sent.push(text));
  assert.deepEqual(sent, ['all']);
  await assert.rejects(signal, { code: 'session-unknown' });
  await assert.rejects(whisper);
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

test('a peer missing from a snapshot is kept for the resume window', (context) => {
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

test('the accessible name of a button contains its visible text', () => {
  for (const locale of locales) {
    const texts = catalogue(locale);
    const lower = (text) => text.toLocaleLowerCase();
    for (const key of Object.keys(texts).filter((one) => one.endsWith('Named'))) {
      const shown = texts[key.slice(0, -'Named'.length)];
      if (shown !== undefined) assert.ok(lower(texts[key]).includes(lower(shown)), `${key} in ${locale}: ${texts[key]} without ${shown}`);
    }
  }
});

test('every catalogue has every key, with the same placeholders', () => {
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
  for (const file of readdirSync(PAGE, { recursive: true }).filter((name) => /\.(js|html)$/.test(name))) {
    const source = readFileSync(new URL(file, PAGE), 'utf8');
    for (const [, key] of source.matchAll(/(?:'|data-text=")([a-z]+\.[A-Za-z.-]+)['"]/g)) asked.add(key);
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

test('an answer lets a browser begin with enough for a large picture', () => {
  const video = (...lines) => ['m=video 9 UDP/TLS/RTP/SAVPF 96 97 98\r\na=mid:1\r\n', ...lines].join('');
  const answer = `v=0\r\nm=audio 9 X 111\r\na=rtpmap:111 opus/48000/2\r\n${video('a=rtpmap:96 VP8/90000\r\n', 'a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n',
    'a=rtpmap:98 H264/90000\r\na=fmtp:98 packetization-mode=1\r\n')}`;
  const expected = `v=0\r\nm=audio 9 X 111\r\na=rtpmap:111 opus/48000/2\r\n${video('a=rtpmap:96 VP8/90000\r\na=fmtp:96 x-google-start-bitrate=800\r\n',
    'a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n', 'a=rtpmap:98 H264/90000\r\na=fmtp:98 packetization-mode=1;x-google-start-bitrate=800\r\n')}`;
  assert.equal(withStartBitrate(answer), expected);
  assert.equal(withStartBitrate(expected), expected);
});
