// Who is invited comes in, also where join tokens are needed: by the links of rooms and meetings, by code, by calendar file
// and by letter; and who is not is told what is missing.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import net from 'node:net';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { BINARY, freePort, launch, mediaFlows, newPage, Server, until } from './harness.mjs';

const SECRET = 'thirty-two-bytes-and-some-more-of-it';

let browser;
before(async () => {
  browser = await launch();
});
after(async () => {
  await browser?.close();
});

/** A mail server on loopback that takes everything (RFC 5321). */
class Postbox {
  letters = [];
  #server = net.createServer((socket) => {
    let text = '';
    let data = false;
    socket.write('220 postbox\r\n');
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      text += chunk;
      for (;;) {
        if (data) {
          const end = text.indexOf('\r\n.\r\n');
          if (end < 0) return;
          this.letters.push(text.slice(0, end).replaceAll('\r\n..', '\r\n.'));
          [text, data] = [text.slice(end + 5), false];
          socket.write('250 taken\r\n');
          continue;
        }
        const end = text.indexOf('\r\n');
        if (end < 0) return;
        const line = text.slice(0, end).toUpperCase();
        text = text.slice(end + 2);
        data = line === 'DATA';
        socket.write(data ? '354 go on\r\n' : line.startsWith('QUIT') ? '221 bye\r\n' : '250 ok\r\n');
      }
    });
  });

  async open() {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.url = `smtp://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  close() {
    this.#server.close();
  }
}

/** A server that sends mail, and says under which address it is reached. */
async function serving(postbox, ...more) {
  const port = await freePort();
  const server = new Server('--public-url', `http://localhost:${port}`, '--smtp', postbox.url, '--mail-from', 'Calls <calls@example.org>', ...more);
  server.port = port;
  await server.start();
  return server;
}

function keyOf(server, ...scopes) {
  const words = ['--data-dir', server.data, 'api-key', 'create', ...scopes.flatMap((scope) => ['--scope', scope])];
  return execFileSync(BINARY, words, { encoding: 'utf8' }).trim();
}

/** Asks as another program would. */
async function ask(server, key, method, path, body, headers = {}) {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: { ...(key && { Authorization: `Bearer ${key}` }), 'Content-Type': 'application/json', ...headers },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text };
}

const booking = { title: 'Lesson', timeZone: 'Europe/Berlin', durationMinutes: 30 };

/** The text of a letter, its parts decoded as far as they need it, and calendar lines unfolded. */
function readable(letter) {
  const parts = letter.split(/\r\n--[^\r]+/).map((part) => {
    const [head, ...body] = part.split('\r\n\r\n');
    const text = body.join('\r\n\r\n');
    if (/base64/i.test(head)) return Buffer.from(text, 'base64').toString();
    if (/quoted-printable/i.test(head)) return text.replace(/=\r\n/g, '').replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
    return part;
  });
  return parts.join('\n').replace(/\r\n /g, '');
}

/** Opens a link, and goes on to the call where it leads to a meeting's page. */
async function open(link) {
  const page = await newPage(browser);
  await page.goto(link);
  if (new URL(link).pathname.startsWith('/m/')) {
    await page.getByRole('button', { name: 'Join', exact: true }).click();
    await page.waitForURL(/\/r\//);
  }
  return page;
}

async function enter(page, name) {
  await page.getByRole('textbox', { name: 'Your name' }).fill(name);
  await page.getByRole('button', { name: 'Join', exact: true }).click();
}

const isIn = (page) => page.getByRole('button', { name: 'Leave', exact: true }).waitFor();
const isTold = (page, text) => page.getByRole('alert').filter({ hasText: text }).waitFor();

async function comesIn(link, name) {
  const page = await open(link);
  await enter(page, name);
  await isIn(page);
  assert.equal(new URL(page.url()).hash, '', 'nothing secret stays in the address bar');
  assert.deepEqual(page.problems, []);
  return page;
}

/** Comes in and goes again: a call of all who were invited is too much for a busy machine. */
async function visits(link, name) {
  const page = await comesIn(link, name);
  await page.context().close();
}

for (const [what, more] of [['with --auth-key', ['--auth-key', SECRET]], ['without --auth-key', []]]) {
  test(`every link that is handed out lets its reader in, ${what}`, async () => {
    const postbox = await new Postbox().open();
    const server = await serving(postbox, ...more);
    const rooms = keyOf(server, 'rooms');
    const key = keyOf(server, 'meetings:write');

    // A room: its host's link, and a token's.
    const room = (await ask(server, rooms, 'POST', '/api/v1/rooms', {})).body;
    const teacher = await comesIn(room.hostUrl, 'Teacher');
    const minted = (await ask(server, rooms, 'POST', `/api/v1/rooms/${room.room}/tokens`, { name: 'Pupil' })).body;
    const pupil = await comesIn(minted.url, 'x');
    assert.equal(await pupil.evaluate(() => window.visavis.self.name), 'Pupil');
    await Promise.all([teacher, pupil].map((page) => mediaFlows(page, 1)));
    // A reload does not lose it.
    await pupil.reload();
    await isIn(pupil);
    assert.equal(await pupil.evaluate(() => window.visavis.self.name), 'Pupil');
    for (const page of [teacher, pupil]) await page.context().close();

    // A meeting that is open at once, and one that has begun: link, host's link, code, calendar file, letter.
    const attendees = [{ name: 'Ada', email: 'ada@example.net' }, { name: 'Bob', email: 'bob@example.net' }];
    for (const time of [{}, { startsAt: new Date(Date.now() - 60_000).toISOString() }]) {
      const known = postbox.letters.length;
      const made = (await ask(server, key, 'POST', '/api/v1/meetings', { ...booking, ...time, attendees })).body;
      await visits(made.joinUrl, 'Link');
      await visits(made.hostUrl, 'Host');
      const typing = await newPage(browser);
      await typing.goto(server.url);
      await typing.getByRole('textbox', { name: 'Room name, code or link' }).fill(made.code.toUpperCase().replaceAll('-', ' '));
      await typing.getByRole('button', { name: 'Join', exact: true }).click();
      await enter(typing, 'Code');
      await isIn(typing);
      await typing.context().close();
      const calendar = (await ask(server, null, 'GET', `/api/v1/meetings/${made.meeting}/calendar.ics`)).body.replaceAll('\r\n ', '');
      await visits(/^URL:(.*)\r$/m.exec(calendar)[1], 'Calendar');
      const letters = await until('two letters', () => (postbox.letters.length === known + 2 ? postbox.letters.slice(known) : null));
      const own = letters.map((letter) => /http:\/\/localhost:\d+\/[rm]\/[a-z0-9-]+/.exec(readable(letter))[0]);
      assert.equal(new Set([...own, made.joinUrl]).size, 3, 'each has a link of its own');
      for (const link of own) await visits(link, 'Letter');

      // Who is no longer invited has a link that leads nowhere.
      const bobs = own[letters.findIndex((letter) => /bob@example\.net/i.test(letter))];
      const changed = await ask(server, key, 'PATCH', `/api/v1/meetings/${made.meeting}`, { attendees: attendees.slice(0, 1) }, { 'If-Match': '*' });
      assert.equal(changed.status, 200);
      const turned = await newPage(browser);
      await turned.goto(bobs);
      if (time.startsAt) {
        await turned.getByRole('button', { name: 'Join', exact: true }).waitFor({ state: 'detached' });
      } else {
        await enter(turned, 'Bob');
        await turned.getByRole('alert').filter({ hasText: /./ }).waitFor();
      }
      assert.equal(await turned.getByRole('button', { name: 'Leave', exact: true }).count(), 0);
      await turned.context().close();
    }
    await server.close();
    postbox.close();
  });
}

test('a missing, expired or wrong invitation is reported, without "Start a call"', async () => {
  const server = await Server.start('--auth-key', SECRET);
  const key = keyOf(server, 'rooms', 'meetings:write');
  const page = await newPage(browser);
  await page.goto(server.url);
  await page.getByRole('link', { name: 'Schedule a meeting' }).waitFor();
  await page.waitForLoadState('networkidle');
  for (const name of ['Start a call', 'New call with code']) assert.equal(await page.getByRole('button', { name }).count(), 0, name);
  const room = (await ask(server, key, 'POST', '/api/v1/rooms', {})).body;
  await page.goto(room.url);
  await enter(page, 'Stranger');
  await isTold(page, 'You need an invitation to join this room.');
  const other = (await ask(server, key, 'POST', '/api/v1/rooms/elsewhere/tokens', {})).body;
  await page.goto(`${room.url}#token=${other.token}`);
  await page.reload();
  await enter(page, 'Stranger');
  await isTold(page, 'Your invitation is for another room.');
  const brief = (await ask(server, key, 'POST', `/api/v1/rooms/${room.room}/tokens`, { ttlSeconds: 1 })).body;
  await until('its end', () => Date.now() > Date.parse(brief.expiresAt) + 1000);
  const late = await newPage(browser);
  await late.goto(brief.url);
  await enter(late, 'Late');
  await isTold(late, 'Your invitation has expired.');
  assert.equal(new URL(late.url()).hash, '');

  // Meetings are booked there with a key.
  await page.goto(`${server.url}/meetings`);
  await page.getByRole('textbox', { name: 'Title' }).fill('Lesson');
  await page.getByLabel('API key for booking').fill(key);
  await page.getByRole('button', { name: 'Schedule', exact: true }).click();
  await page.getByRole('heading', { name: 'Lesson' }).waitFor();
  for (const one of [page, late]) {
    assert.deepEqual(one.problems, []);
    await one.context().close();
  }

  // Where strangers may make rooms, nothing is missing.
  const open = await Server.start();
  const visitor = await newPage(browser);
  await visitor.goto(open.url);
  for (const name of ['Start a call', 'New call with code']) await visitor.getByRole('button', { name }).waitFor();
  await visitor.context().close();
  await open.close();
  await server.close();
});

test('a page of another origin reads events by EventSource with a ticket, and by fetch with the secret', async () => {
  const elsewhere = net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 1\r\nconnection: close\r\n\r\n.'));
  });
  elsewhere.listen(0, '127.0.0.1');
  await once(elsewhere, 'listening');
  const origin = `http://127.0.0.1:${elsewhere.address().port}`;
  const allowing = new Server('--allowed-origin', origin);
  await allowing.start();
  const page = await newPage(browser);
  await page.goto(origin);
  const heard = await page.evaluate(async (at) => {
    const post = (path, body, secret) => fetch(`${at}/api/v1/sessions${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...(secret && { Authorization: `Bearer ${secret}` }) },
      body: JSON.stringify(body),
    }).then((response) => response.json());
    const chat = { type: 'chat', text: 'heard', seq: 1 };
    const ada = await post('', { type: 'join', room: 'standup', name: 'Ada', ticket: true });
    const source = new EventSource(`${at}/api/v1/sessions/${ada.session}/events?ticket=${ada.ticket}`);
    const byEventSource = new Promise((resolve, reject) => {
      source.onmessage = ({ data }) => JSON.parse(data).type === 'chat' && resolve('chat');
      source.onerror = () => reject(new Error('the stream was refused'));
    });
    const bob = await post('', { type: 'join', room: 'standup', name: 'Bob' });
    const stream = await fetch(`${at}/api/v1/sessions/${bob.session}/events`, { headers: { Authorization: `Bearer ${bob.secret}` } });
    const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();
    await post(`/${ada.session}/messages`, chat, ada.secret);
    let text = '';
    while (!text.includes('"chat"')) text += (await reader.read()).value;
    const both = [await byEventSource, 'chat'];
    source.close();
    await reader.cancel();
    return both;
  }, allowing.url);
  assert.deepEqual(heard, ['chat', 'chat']);
  await page.context().close();
  await allowing.close();
  elsewhere.close();
});
