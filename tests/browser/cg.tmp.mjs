import WebSocket from 'ws';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { tmpdir } from 'node:os';
const [bin, count, ...extra] = process.argv.slice(2);
const dir = mkdtempSync(path.join(tmpdir(), 'cg-'));
const child = spawn('valgrind', ['--tool=callgrind', '--callgrind-out-file=/tmp/cg.out.' + (process.env.TAG ?? 'x') + '', bin, '--listen', '127.0.0.1:0', '--no-sfu', '--no-turn', '--data-dir', dir + '/d', '--log-format', 'json', ...extra], { stdio: ['ignore', 'pipe', 'pipe'] });
let out = '';
const port = await new Promise((resolve, reject) => {
  const look = (data) => { out += data; const m = /"addr":"?127\.0\.0\.1:(\d+)/.exec(out) || /listening[^\n]*127\.0\.0\.1:(\d+)/.exec(out); if (m) resolve(m[1]); };
  child.stdout.on('data', look); child.stderr.on('data', look); child.on('exit', () => reject(new Error(out)));
});
const K = Number(count);
const socks = [];
let seen = 0, wake = null;
for (let i = 0; i < 10; i += 1) {
  const ws = new WebSocket(`ws://127.0.0.1:${port}/api/v1/ws`);
  await once(ws, 'open');
  const welcome = new Promise((r) => { ws.addEventListener('message', ({ data }) => { const m = JSON.parse(data); if (m.type === 'welcome') r(); if (m.type === 'chat') { seen += 1; if (wake && seen % 10 === 0) wake(); } if (m.type==='error') console.error(m); }); });
  ws.send(JSON.stringify({ type: 'join', room: 'r', name: `p${i}`, topology: 'mesh' }));
  await welcome;
  socks.push(ws);
}
for (let n = 0; n < K; n += 1) {
  const all = new Promise((r) => { wake = r; });
  socks[n % 10].send(JSON.stringify({ type: 'chat', text: 'x'.repeat(100), seq: n + 1 }));
  await all;
}
child.kill('SIGTERM');
for (const s of socks) s.close();
await once(child, 'exit');
const m = /Collected : (\d+)/.exec(out);
console.log(m ? m[1] : out.slice(-2000));
rmSync(dir, { recursive: true, force: true });
