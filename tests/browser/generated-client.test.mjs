// The description of the HTTP interface is what a client can be generated from: one is, and books, records, lists, downloads and erases.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BINARY, flows, launch, newPage, Server } from './harness.mjs';
import { probe } from './media-file.mjs';

const TOOLS = fileURLToPath(new URL('../tools/', import.meta.url));
const PYTHON = path.join(process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../target', import.meta.url)), 'tools/generator/bin');
/** The generator knows few media types: for it files are bytes, and text is `text/html`. */
const SETTINGS = {
  project_name_override: 'visavis-client',
  package_name_override: 'visavis_client',
  content_type_overrides: {
    'video/mp4': 'application/octet-stream', 'video/webm': 'application/octet-stream', 'image/svg+xml': 'text/html', 'text/calendar': 'text/html',
  },
  post_hooks: [],
};

test('a generated client books, records, lists, downloads and erases', async (t) => {
  assert.ok(existsSync(PYTHON), 'the generator is missing: tests/run tools');
  const server = await Server.start();
  const folder = mkdtempSync(path.join(tmpdir(), 'visavis-generated-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = (name) => path.join(folder, name);
  writeFileSync(file('openapi.json'), await (await fetch(`${server.url}/api/v1/openapi.json`)).text());
  writeFileSync(file('settings.json'), JSON.stringify(SETTINGS));
  const words = ['generate', '--path', file('openapi.json'), '--config', file('settings.json'), '--output-path', file('visavis_client'), '--meta', 'none', '--fail-on-warning'];
  execFileSync(path.join(PYTHON, 'openapi-python-client'), words, { stdio: ['ignore', 'inherit', 'inherit'] });

  const key = execFileSync(BINARY, ['--data-dir', server.data, 'api-key', 'create', '--scope', 'meetings:write', '--scope', 'recordings'], { encoding: 'utf8' }).trim();
  const program = spawn(path.join(PYTHON, 'python'), [path.join(TOOLS, 'generated_client.py'), folder, server.url, key, file('lesson')], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => program.kill());
  const exit = once(program, 'exit');
  const lines = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  const said = async (word) => {
    const { value } = await lines.next();
    assert.ok(value?.startsWith(word), `${word}: ${value}`);
    return value.slice(word.length + 1);
  };

  const code = await said('booked');
  const browser = await launch();
  const pages = [];
  for (const name of ['Ada', 'Bob']) {
    const page = await newPage(browser);
    await page.goto(`${server.url}/r/${code}`);
    await page.getByRole('textbox', { name: 'Your name' }).fill(name);
    await page.getByRole('button', { name: 'Join', exact: true }).click();
    await page.getByRole('button', { name: 'Leave', exact: true }).waitFor();
    pages.push(page);
  }
  for (const page of pages) await flows(page, 1);
  program.stdin.write('somebody is there\n');
  await said('recording');
  for (const page of pages) await flows(page, 1);
  program.stdin.write('enough\n');
  await said('erased');
  assert.deepEqual(await exit, [0, null]);
  const { video, audio, duration } = await probe(file('lesson'));
  assert.ok(video && audio && duration > 1, `${duration} s`);
  await browser.close();
  await server.close();
});
