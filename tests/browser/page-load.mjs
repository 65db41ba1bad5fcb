// How long it takes from the address of a room to its button Join, on networks that Chromium imitates: with nothing in
// the cache, and again. Prints a table; `tests/long/page-load` runs it with a release build.
//
//     RUNS=5 node page-load.mjs

import { launch, newPage, newRoom, Server } from './harness.mjs';

const RUNS = Number(process.env.RUNS ?? 5);
/** Round trip in milliseconds and Mbit/s each way; no limits for loopback itself. */
const NETWORKS = [[0, null], [40, 10], [100, 3], [200, 1]];

const server = await Server.start();
const browser = await launch();

async function limit(page, [latency, megabits]) {
  if (megabits === null) return;
  const throughput = megabits * 125_000;
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Network.enable');
  await cdp.send('Network.emulateNetworkConditions', { offline: false, latency, downloadThroughput: throughput, uploadThroughput: throughput });
}

async function timed(page, url) {
  const begin = performance.now();
  await page.goto(url);
  await page.getByRole('button', { name: 'Join', exact: true }).waitFor();
  return performance.now() - begin;
}

const median = (numbers) => Math.round(numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]);

console.log('| round trip, rate | first time | again |\n| --- | --- | --- |');
for (const network of NETWORKS) {
  const times = [];
  for (let run = 0; run < RUNS; run += 1) {
    const page = await newPage(browser);
    await limit(page, network);
    const url = `${server.url}/r/${newRoom()}?name=Ada`;
    times.push([await timed(page, url), await timed(page, url)]);
    await page.context().close();
  }
  const [latency, megabits] = network;
  const [first, again] = [0, 1].map((index) => median(times.map((row) => row[index])));
  console.log(`| ${megabits === null ? 'loopback' : `${latency} ms, ${megabits} Mbit/s`} | ${first} | ${again} |`);
}
await browser.close();
await server.close();
