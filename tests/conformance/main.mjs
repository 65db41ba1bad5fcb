// The command: see README.md.

import { parseArgs } from 'node:util';
import { DOCUMENTS, rulesOf } from './rules.mjs';
import { check } from './suite.mjs';

const USAGE = `usage: run [--whip URL] [--whep URL] [--token TOKEN] [--origin ORIGIN] [--insecure] [--no-media] [--json]
       run --rules`;

function options() {
  const string = { type: 'string' };
  const flag = { type: 'boolean', default: false };
  const { values } = parseArgs({
    options: { whip: string, whep: string, token: string, origin: string, insecure: flag, 'no-media': flag, json: flag, rules: flag, help: flag },
  });
  if (!values.help && !values.rules && !values.whip && !values.whep) throw new Error('which server? Name --whip or --whep');
  return values;
}

/** All rules, as a table in Markdown. */
function rules() {
  const [whip, whep] = [rulesOf('whip'), rulesOf('whep')];
  const ids = [...new Set([...whip.keys(), ...whep.keys()])];
  const rows = ids.map((id) => {
    const { level, expected } = whip.get(id) ?? whep.get(id);
    return `| \`${id}\` | ${whip.get(id)?.section ?? '–'} | ${whep.get(id)?.section ?? '–'} | ${level} | ${expected} |`;
  });
  return [`| rule | ${DOCUMENTS.whip} | ${DOCUMENTS.whep} | level | expected |`, '| --- | --- | --- | --- | --- |', ...rows].join('\n');
}

async function main() {
  const { whip, whep, token, origin, insecure, json, help, rules: list, 'no-media': silent } = options();
  if (help) return console.log(USAGE);
  if (list) return console.log(rules());
  const reports = [];
  for (const [protocol, url] of [['whip', whip], ['whep', whep]]) {
    if (url) reports.push(await check({ protocol, url, token, origin, insecure, ...(silent ? { attempts: 0 } : {}) }));
  }
  console.log(json ? JSON.stringify({ date: new Date().toISOString(), reports }, null, 2) : reports.join('\n\n'));
  if (reports.some((report) => report.idsOf('failed').length > 0)) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  console.error(`${error.message}\n${USAGE}`);
  process.exitCode = 2;
}
