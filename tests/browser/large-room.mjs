// A large room: Rust clients that come and go, and two browsers that stay. In the end each client has everybody (the program
// `bench crowd` looks), and so does each browser. `tests/long/large-room` runs it with a hundred people.
//
//     PEOPLE=100 CAMERAS=10 SECONDS_OF_CHANGE=60 BENCH_BIN=../../target/release/bench node large-room.mjs

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { launch, participant, Server, until } from './harness.mjs';

const { PEOPLE = '100', CAMERAS = '10', SECONDS_OF_CHANGE = '60', BENCH_BIN } = process.env;
const BROWSERS = 2;
const ROOM = 'large-room';

const server = await Server.start();
const browser = await launch();
let status = 1;
try {
  const pages = [];
  for (const name of ['Ada', 'Grace']) pages.push(await participant(browser, server.url, ROOM, { name, topology: 'sfu' }));
  const crowd = spawn(BENCH_BIN, ['crowd', server.url, '--room', ROOM, '--people', PEOPLE, '--cameras', CAMERAS, '--seconds', SECONDS_OF_CHANGE, '--others', String(BROWSERS), '--stay'], { stdio: ['pipe', 'pipe', 'inherit'] });
  let said = '';
  crowd.stdout.on('data', (text) => {
    said += text;
  });
  const ended = new Promise((resolve) => crowd.once('exit', resolve));
  let code = null;
  void ended.then((value) => {
    code = value;
  });
  while (!said.includes('\n') && code === null) await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(code, null, 'the clients do not have everybody');
  process.stdout.write(said);
  // The clients stay while the browsers are looked at.
  for (const page of pages) {
    await until('everybody has a track at the browser', () => page.evaluate((others) => {
      const { visavis: call } = window;
      const ids = call.peers.map(({ id }) => id);
      return ids.length === others && ids.every((id) => call.streams(id)?.main.getAudioTracks().length === 1);
    }, Number(PEOPLE) + BROWSERS - 1));
    const size = await page.evaluate(() => {
      const { remoteDescription, localDescription } = window.visavis.connections().get('subscribe');
      return { sections: remoteDescription.sdp.split('\r\nm=').length - 1, offer: remoteDescription.sdp.length, answer: localDescription.sdp.length };
    });
    console.log(`a browser's description: ${size.sections} sections, offer ${size.offer} bytes, answer ${size.answer} bytes`);
    assert.deepEqual(page.problems, []);
  }
  crowd.stdin.end();
  assert.equal(await ended, 0);
  status = 0;
} finally {
  await browser.close();
  await server.close();
}
process.exit(status);
