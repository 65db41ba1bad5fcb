// Runs all tests, file by file. Usage: node run.mjs [OPTION OF NODE'S TEST RUNNER…]
//
// Media in real time needs a whole processor: files with calls that are watched over time run one at a time, the others in pairs.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const IN_PAIRS = new Set([
  'accessibility', 'api', 'call-page', 'causes', 'chat-limits', 'check', 'conformance', 'consent', 'devices', 'host', 'host-power', 'http2', 'invitations', 'lacking', 'links',
  'meetings', 'own-service', 'recording-store', 'sdk', 'small', 'socketio', 'stage',
]);

const files = readdirSync(import.meta.dirname).filter((file) => file.endsWith('.test.mjs')).toSorted();
const inPairs = (file) => IN_PAIRS.has(file.slice(0, -'.test.mjs'.length));
const run = (concurrency, chosen) => {
  const options = ['--test', `--test-concurrency=${concurrency}`, '--test-force-exit', '--test-timeout=900000', ...process.argv.slice(2)];
  return spawnSync(process.execPath, [...options, ...chosen], { cwd: import.meta.dirname, stdio: 'inherit' }).status;
};
const statuses = [run(2, files.filter(inPairs)), run(1, files.filter((file) => !inPairs(file)))];
process.exitCode = statuses.every((status) => status === 0) ? 0 : 1;
