// docs/console-data-channel.md, done by the letter: its blocks in Chromium's pages, and the example in a terminal.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { launch } from './harness.mjs';

const repository = join(dirname(fileURLToPath(import.meta.url)), '../..');
const program = join(
  process.env.VISAVIS_BIN ? dirname(process.env.VISAVIS_BIN) : join(repository, 'target/debug'),
  'console-data-channel',
);

/** The block of the document that begins with this comment, with what people paste put in. */
function block(title, pasted = '') {
  const document = readFileSync(join(repository, 'docs/console-data-channel.md'), 'utf8');
  const blocks = [...document.matchAll(/```js\n([\s\S]*?)```/g)].map((match) => match[1]);
  const found = blocks.find((text) => text.startsWith(`// ${title}\n`));
  assert.ok(found, `the document has no block "${title}"`);
  return found.replace(/PASTE_THE_\w+_HERE/, () => pasted);
}

/** Lines as they come, and a way to wait for one. */
class Lines {
  #lines = [];
  #waiting = [];

  add(line) {
    this.#lines.push(line);
    for (const look of this.#waiting.splice(0)) look();
  }

  /** The next line that begins so. */
  async next(start) {
    for (;;) {
      const index = this.#lines.findIndex((line) => line.startsWith(start));
      if (index >= 0) return this.#lines.splice(0, index + 1)[index];
      await new Promise((resolve) => this.#waiting.push(resolve));
    }
  }
}

class BrowserConsole {
  static async open(browser) {
    const opened = new BrowserConsole();
    opened.lines = new Lines();
    opened.page = await browser.newPage();
    opened.page.on('console', (message) => opened.lines.add(message.text()));
    return opened;
  }

  /** As a console runs it: with `await`, and names that stay. */
  run(code) {
    return this.page.evaluate(`(async () => { ${code} })()`);
  }

  async offer() {
    await this.run(block('offer'));
    return this.lines.next('{');
  }

  async answer(offer) {
    await this.run(block('answer', offer));
    return this.lines.next('{');
  }

  takeAnswer(answer) {
    return this.run(block('take the answer', answer));
  }

  say(text) {
    return this.run(`channel.send(${JSON.stringify(text)})`);
  }

  async close() {
    await this.run('connection.close()');
  }
}

class Terminal {
  static open(role) {
    assert.ok(existsSync(program), `${program} is not there: run \`cargo build -p examples\` first`);
    const opened = new Terminal();
    opened.lines = new Lines();
    opened.process = spawn(program, [role], { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: opened.process.stdout }).on('line', (line) => opened.lines.add(line));
    return opened;
  }

  type(line) {
    this.process.stdin.write(`${line}\n`);
  }

  offer() {
    return this.lines.next('{');
  }

  answer(offer) {
    this.type(offer);
    return this.lines.next('{');
  }

  takeAnswer(answer) {
    this.type(answer);
  }

  say(text) {
    this.type(text);
  }

  close() {
    this.process.stdin.end();
  }
}

let browser;
const terminals = [];

before(async () => {
  browser = await launch({ devices: 'none' });
});

after(async () => {
  await browser?.close();
  for (const terminal of terminals) terminal.process.kill();
});

async function open(kind, role) {
  if (kind === 'browser') return BrowserConsole.open(browser);
  const terminal = Terminal.open(role);
  terminals.push(terminal);
  return terminal;
}

for (const [offering, answering] of [['browser', 'browser'], ['browser', 'terminal'], ['terminal', 'browser']]) {
  test(`a ${offering} offers, a ${answering} answers, and they talk`, async () => {
    const first = await open(offering, 'offer');
    const second = await open(answering, 'answer');
    await first.takeAnswer(await second.answer(await first.offer()));
    await Promise.all([first.lines.next('Connected'), second.lines.next('Connected')]);

    await first.say('good morning');
    assert.equal(await second.lines.next('> '), '> good morning');
    await second.say('grüß Gott');
    assert.equal(await first.lines.next('> '), '> grüß Gott');

    await first.close();
    await second.lines.next('The other side has left.');
  });
}
