// The documents: each is found from the way in, their links lead somewhere, and their commands are commands of this version.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BINARY } from './harness.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const read = (file) => readFileSync(path.join(ROOT, file), 'utf8');
const DOCUMENTS = ['README.md', 'CONTRIBUTING.md', 'ARCHITECTURE.md', ...readdirSync(path.join(ROOT, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];

/** The text without its blocks of code. */
const prose = (text) => text.replace(/^```.*?^```$/gms, '');
/** The links of a document to places in the repository, as `[file, anchor]`. */
const links = (file) => [...prose(read(file)).matchAll(/\]\((?!\w+:)([^)\s]*)\)/g)].map(([, link]) => {
  const [place, anchor] = link.split('#');
  return [place ? path.posix.join(path.posix.dirname(file), place) : file, anchor];
});
/** The anchors of a document's headings, as its readers' programs make them. */
const anchors = (file) => [...prose(read(file)).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
  heading.toLowerCase().replaceAll('`', '').replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'));

test('every link in the documents leads somewhere', () => {
  let count = 0;
  for (const file of DOCUMENTS) {
    for (const [place, anchor] of links(file)) {
      count += 1;
      assert.ok(existsSync(path.join(ROOT, place)), `${file} leads to ${place}`);
      if (anchor) assert.ok(anchors(place).includes(anchor), `${file} leads to ${place}#${anchor}`);
    }
  }
  assert.ok(count > 60, `${count} links`);
});

test('every document is found from the way in', () => {
  const found = new Set(['docs/index.md']);
  for (const file of found) if (file.endsWith('.md') && existsSync(path.join(ROOT, file))) for (const [place] of links(file)) found.add(place);
  assert.deepEqual(DOCUMENTS.filter((file) => !found.has(file)), []);
});

/** The commands in the documents' blocks, without comments; long ones in one line. */
const commands = DOCUMENTS.flatMap((file) => [...read(file).matchAll(/^```(?:text|sh|)\n(.*?)^```$/gms)].flatMap(([, block]) =>
  block.replaceAll('\\\n', ' ').split('\n').map((line) => ({ file, command: line.replace(/\s+# .*$/, '').trim() }))));

test('every command of the server is one, and works as it stands', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'visavis-documents-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const run = (line) => execFileSync('sh', ['-c', line], { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const data = `--data-dir ${folder}/data`;
  let count = 0;
  for (const { file, command } of commands) {
    // Keys that a document makes are what its next command reads.
    if (command.startsWith('openssl ')) run(command);
    const [, words] = /^visavis\b\s*(.*)$/.exec(command) ?? [];
    if (words === undefined) continue;
    count += 1;
    const given = words.replaceAll('…', 'x');
    const isServer = given === '' || (given.startsWith('--') && given !== '--help');
    // What starts a server is only read: its settings are valid.
    // No server has run in this folder.
    // What the doctor finds is the machine's: its command is only understood.
    const line = isServer ? `${data} ${given} config` : given.startsWith('doctor') ? `${given} --help` : `${data} ${given.replace(/^api-key /, 'api-key --init ')}`;
    try {
      const said = run(`'${BINARY}' ${line}`);
      assert.ok(said.length > 0, command);
    } catch (error) {
      assert.fail(`${file}: ${command}: ${error.stderr ?? error.message}`);
    }
  }
  assert.ok(count >= 9, `${count} commands`);
});

test('every program that a document has cargo run is there', () => {
  const binaries = new Set(readdirSync(path.join(ROOT, 'examples/src/bin')).map((name) => name.replace('.rs', '')));
  const runs = [...commands.map(({ command }) => command), ...[...binaries].map((name) => read(`examples/src/bin/${name}.rs`))].flatMap((text) => [...text.matchAll(/cargo run -p examples --bin ([\w-]+)/g)].map(([, name]) => name));
  assert.ok(runs.length >= binaries.size, runs.join(' '));
  assert.deepEqual(runs.filter((name) => !binaries.has(name)), []);
});
