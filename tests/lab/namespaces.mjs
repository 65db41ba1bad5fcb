// What the labs of namespaces share: the networks of nat.sh, with a server and browsers inside them.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { BINARY, CHROMIUM, launch } from '../browser/harness.mjs';

const NAT = path.join(path.dirname(fileURLToPath(import.meta.url)), 'nat.sh');
const PREFIX = `nat${process.pid}`;
/** The server's address on the lab's internet. */
export const SERVER = '203.0.113.100';

/** Two clients behind NATs, and a server. `end` takes everything down again. */
export class Lab {
  #folder = mkdtempSync(path.join(tmpdir(), 'visavis-lab-'));
  #started = [];

  constructor(kindA, kindB) {
    execFileSync(NAT, ['up', PREFIX, kindA, kindB], { stdio: ['ignore', 'inherit', 'inherit'] });
  }

  /** Runs a program in a namespace (`clientA`, `natB`, `server` …); gives what it prints. */
  run(namespace, ...command) {
    return execFileSync('ip', ['netns', 'exec', `${PREFIX}-${namespace}`, ...command], { encoding: 'utf8' }).trim();
  }

  /** Loads rules of nftables in a namespace. */
  rules(namespace, text) {
    execFileSync('ip', ['netns', 'exec', `${PREFIX}-${namespace}`, 'nft', '-f', '-'], { input: text, stdio: ['pipe', 'inherit', 'inherit'] });
  }

  /** Starts the server and waits until it listens. */
  async startServer(...args) {
    const data = path.join(this.#folder, 'data');
    const server = spawn('ip', ['netns', 'exec', `${PREFIX}-server`, BINARY, '--data-dir', data, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#started.push(async () => {
      const ended = once(server, 'exit');
      server.kill('SIGTERM');
      await ended;
    });
    for await (const line of createInterface({ input: server.stderr })) if (/serve: listening addr=/.test(line)) break;
    server.stderr.resume();
  }

  /** A browser of the client on one side (`A` or `B`). */
  async startBrowser(side, ...flags) {
    const program = path.join(this.#folder, `browser${side}`);
    writeFileSync(program, `#!/bin/sh\nexec ip netns exec ${PREFIX}-client${side} ${CHROMIUM} "$@"\n`);
    chmodSync(program, 0o755);
    const browser = await launch({ executable: program, flags });
    this.#started.unshift(() => browser.close());
    return browser;
  }

  async end() {
    for (const end of this.#started) await end();
    execFileSync(NAT, ['down', PREFIX], { stdio: ['ignore', 'inherit', 'inherit'] });
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
