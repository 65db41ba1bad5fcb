// What the labs of namespaces share: the networks of nat.sh, with a server and browsers inside them.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { BINARY, CHROMIUM, launch } from '../browser/harness.mjs';

const NAT = path.join(path.dirname(fileURLToPath(import.meta.url)), 'nat.sh');
const PREFIX = `nat${process.pid}`;
/** The server's address on the lab's internet. */
export const SERVER = '203.0.113.100';

export const SERVER_V6 = '2001:db8::100';
const INSPECTION = path.join(path.dirname(NAT), 'inspection.mjs');

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

  /** Takes IPv4 away: the clients have IPv6 addresses of networks that reach the server, and not each other. */
  useIpv6Alone() {
    const give = (namespace, device, net, host) => {
      this.run(namespace, 'ip', '-4', 'address', 'flush', 'dev', device);
      // Routers ask for their neighbours from a link-local address.
      for (const prefix of ['fe80', net]) this.run(namespace, 'ip', 'address', 'add', `${prefix}::${host}/64`, 'dev', device, 'nodad');
    };
    give('server', 'wan', '2001:db8', '100');
    for (const [side, net, host] of [['A', '2001:db8:1', '11'], ['B', '2001:db8:2', '22']]) {
      const [nat, client] = [`nat${side}`, `client${side}`];
      give(nat, 'wan', '2001:db8', host);
      give(nat, 'lan', net, '1');
      give(client, 'eth0', net, '2');
      this.run(client, 'ip', '-6', 'route', 'add', 'default', 'via', `${net}::1`);
      this.run(nat, 'sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1');
      this.run('server', 'ip', '-6', 'route', 'add', `${net}::/64`, 'via', `2001:db8::${host}`);
    }
  }

  /** A proxy of the network on one side that ends TLS on port 443 and lets HTTP alone through. */
  async startInspection(side) {
    const listening = `nat${side}`;
    const proxy = spawn('ip', ['netns', 'exec', `${PREFIX}-${listening}`, process.execPath, INSPECTION, SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#started.push(async () => {
      const ended = once(proxy, 'exit');
      proxy.kill('SIGTERM');
      await ended;
    });
    await once(proxy.stdout, 'data');
    this.rules(listening, 'table ip inspection {\nchain before {\ntype nat hook prerouting priority -100\niifname "lan" tcp dport 443 redirect to :8443\n}\n}\n');
  }

  /** A certificate with its key for the server's address, in one file. */
  certificate() {
    const pem = path.join(this.#folder, 'server.pem');
    if (existsSync(pem)) return pem;
    const key = path.join(this.#folder, 'server.key');
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', pem, '-days', '2', '-subj', '/CN=visavis', '-addext', `subjectAltName=IP:${SERVER}`], { stdio: 'ignore' });
    appendFileSync(pem, readFileSync(key));
    return pem;
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
