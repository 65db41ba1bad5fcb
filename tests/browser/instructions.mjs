// Counts the instructions of a chat message in a room of ten, over WebSocket: node instructions.mjs PROGRAM…
//
// callgrind counts them in `Shard::receive`, which decides and commits, and in the tasks of the connections, which deliver. Each
// program is a release build with symbols, such as that of a change and that of the state before it.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';

const PEOPLE = 10;
const MESSAGES = 1500;

/** Inclusive instructions by function. */
function counts(file) {
  const printed = execFileSync('callgrind_annotate', ['--inclusive=yes', '--threshold=100', file], { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'ignore'] });
  return printed.split('\n').flatMap((line) => {
    const [, count, name] = /^\s*([\d,]+) \([^)]*\)\s+(\S.*)$/.exec(line) ?? [];
    return count ? [[name, Number(count.replaceAll(',', ''))]] : [];
  });
}

async function measure(program, folder) {
  const file = path.join(folder, 'callgrind.out');
  // Of servers that keep chat on disk, that is measured by `bench signaling`.
  const keepsChat = execFileSync(program, ['--help'], { encoding: 'utf8' }).includes('--keep-chat');
  const server = spawn('valgrind', ['--tool=callgrind', `--callgrind-out-file=${file}`, program, '--listen', '127.0.0.1:0', '--tls', 'off', '--no-sfu',
    '--no-turn', '--data-dir', path.join(folder, 'data'), ...(keepsChat ? ['--keep-chat', 'off'] : [])], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(server, 'exit');
  let port;
  for await (const line of createInterface({ input: server.stderr })) {
    port = /listening addr=\S*?:(\d+)/.exec(line)?.[1];
    if (port) break;
  }
  if (!port) throw new Error(`${program} did not start`);
  server.stderr.resume();
  let received = 0;
  let hasAll;
  const sockets = [];
  for (let number = 0; number < PEOPLE; number += 1) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/api/v1/ws`);
    await once(socket, 'open');
    await new Promise((resolve) => {
      socket.on('message', (data) => {
        const { type } = JSON.parse(data);
        if (type === 'welcome') resolve();
        if (type === 'chat' && (received += 1) % PEOPLE === 0) hasAll();
      });
      socket.send(JSON.stringify({ type: 'join', room: 'measured', name: `Peer ${number}`, topology: 'mesh' }));
    });
    sockets.push(socket);
  }
  for (let number = 0; number < MESSAGES; number += 1) {
    const all = new Promise((resolve) => { hasAll = resolve; });
    sockets[number % PEOPLE].send(JSON.stringify({ type: 'chat', text: 'x'.repeat(100), seq: number + 1 }));
    await all;
  }
  server.kill('SIGTERM');
  await ended;
  const found = counts(file);
  // A function that is inlined in parts is listed more than once, with the whole first.
  const most = (pattern) => Math.max(0, ...found.filter(([name]) => pattern.test(name)).map(([, count]) => count));
  return { shard: most(/:signaling_core::shard::Shard::receive\b/), connections: most(/websocket::(upgrade|serve)::\{\{closure\}\}/) };
}

let first;
for (const program of process.argv.slice(2)) {
  const folder = mkdtempSync(path.join(tmpdir(), 'visavis-instructions-'));
  const { shard, connections } = await measure(path.resolve(program), folder);
  rmSync(folder, { recursive: true, force: true });
  if (!shard || !connections) throw new Error(`${program} has no symbols, or its functions have other names`);
  const each = (count) => Math.round(count / MESSAGES);
  const total = shard + connections;
  first ??= total;
  console.log(`${program}: ${each(shard)} in the shard, ${each(connections)} in the connections, ${each(total)} a message, ${(total / first).toFixed(3)} of the first`);
}
process.exit(0);
