// The conformance suite for WHIP and WHEP: this server passes, and a fault that is planted in front of it is found by name.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FAULTS, FaultyProxy, PATIENT } from '../conformance/faults.mjs';
import { rulesOf } from '../conformance/rules.mjs';
import { check } from '../conformance/suite.mjs';
import { Server } from './harness.mjs';

const ORIGIN = 'https://studio.example';
const COMMAND = fileURLToPath(new URL('../conformance/run', import.meta.url));
/** What this server has no occasion for, and may leave out. */
const LEFT_OUT = ['counter-offer', 'not-live', 'redirect', 'retry-after', 'extensions', 'server-sent-events', 'layers'];

let server;
before(async () => {
  server = await Server.start('--allowed-origin', ORIGIN);
});
after(() => server?.close());

const broken = (report) => [...report.idsOf('failed'), ...report.idsOf('warning')].toSorted();

test('this server does all that it offers as the documents say', async () => {
  for (const protocol of ['whip', 'whep']) {
    const report = await check({ protocol, url: `${server.url}/${protocol}/stage`, origin: ORIGIN, attempts: PATIENT });
    assert.deepEqual(broken(report), [], `${report}`);
    assert.deepEqual(report.idsOf('not tested'), [], `${report}`);
    assert.deepEqual(report.idsOf('not offered'), LEFT_OUT.filter((id) => report.has(id)).toSorted((a, b) => order(protocol, a) - order(protocol, b)), `${report}`);
  }
});

const order = (protocol, id) => [...rulesOf(protocol).keys()].indexOf(id);

for (const { name, breaks, proxy: fault, protocol = 'whip', attempts = 0, token } of FAULTS) {
  test(`a planted fault is found: ${name}`, async () => {
    const proxy = await FaultyProxy.before(server.url, fault);
    try {
      const report = await check({ protocol, url: `${proxy.url}/${protocol}/faulty`, origin: ORIGIN, attempts, token });
      assert.deepEqual(broken(report), breaks.toSorted(), `${report}`);
    } finally {
      await proxy.close();
    }
  });
}

test('there is a planted fault for every rule', () => {
  const ids = new Set([...rulesOf('whip').keys(), ...rulesOf('whep').keys()]);
  const found = new Set(FAULTS.flatMap(({ breaks }) => breaks));
  // What MAY be is no fault if it is not.
  assert.deepEqual([...ids].filter((id) => !found.has(id)), ['problem', 'retry-after']);
});

test('the guide of the suite has all rules', () => {
  const rules = execFileSync(COMMAND, ['--rules'], { encoding: 'utf8' });
  assert.ok(readFileSync(path.join(path.dirname(COMMAND), 'README.md'), 'utf8').endsWith(rules), 'the table is what `run --rules` prints');
});

test('the command says what it found, and its status whether a rule was broken', async () => {
  const run = async (...args) => {
    const child = spawn(COMMAND, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const [[status], out, error] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)]);
    return { status, out, error };
  };
  const url = `${server.url}/whip/stage`;
  const passed = await run('--whip', url, '--no-media');
  assert.equal(passed.status, 0, passed.out + passed.error);
  assert.match(passed.out, /^passed +4\.2 +MUST +created /m);
  assert.match(passed.out, /^not tested +4\.2 +MUST +preflight /m, 'the made-up origin is not let in');

  const { proxy: fault } = FAULTS.find(({ breaks }) => breaks.join() === 'answer-type');
  const proxy = await FaultyProxy.before(server.url, fault);
  try {
    const failed = await run('--whip', `${proxy.url}/whip/stage`, '--no-media', '--json');
    assert.equal(failed.status, 1, failed.out + failed.error);
    const [report] = JSON.parse(failed.out).reports;
    assert.equal(report.counts.failed, 1);
    const { section, level, outcome, found } = report.results.find(({ id }) => id === 'answer-type');
    assert.deepEqual({ section, level, outcome, found }, { section: '4.2', level: 'MUST', outcome: 'failed', found: 'Content-Type: text/plain' });
  } finally {
    await proxy.close();
  }
  const nobody = await run('--whep', `${proxy.url}/whep/stage`);
  assert.equal(nobody.status, 2);
  assert.match(nobody.error, /ECONNREFUSED/);
  assert.equal((await run()).status, 2);
});
