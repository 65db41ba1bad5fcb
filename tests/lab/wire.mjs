// Wires between network namespaces (wire.c): delay, loss, a bottleneck with a drop-tail queue, and a record of each packet.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = path.join(path.dirname(fileURLToPath(import.meta.url)), 'wire.c');
const ip = (...words) => execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] });

/** Compiles the wire into a folder; gives the program. */
export function build(folder) {
  const program = path.join(folder, 'wire');
  execFileSync('cc', ['-O2', '-o', program, SOURCE], { stdio: 'inherit' });
  return program;
}

/** A namespace whose name is free for others of another prefix. */
export function addNamespace(name) {
  ip('netns', 'add', name);
  ip('-n', name, 'link', 'set', 'lo', 'up');
}

/**
 * @typedef {object} Link one direction of a wire
 * @property {number} [rate] kbit/s; no bottleneck by default
 * @property {number} [queue] milliseconds at that rate
 * @property {number} [delay] milliseconds
 * @property {number} [loss] of a thousand packets
 *
 * @typedef {object} Passed a UDP packet that came to a wire
 * @property {number} at milliseconds of the wall clock
 * @property {'there' | 'back'} way
 * @property {number} bytes
 * @property {number} first the first byte of the payload, which tells protocols apart (RFC 7983)
 * @property {number} type of the payload, where it is RTP
 * @property {number} sequence
 * @property {number} ssrc
 * @property {'passed' | 'lost' | 'full'} fate
 * @property {number} wait milliseconds in the queue
 */

/** A wire with an address at each end, whose names end with `.1` and `.2` of a network of its own. */
export class Wire {
  #process;
  #log;

  /**
   * @param {string} program
   * @param {{log: string, seed: number, network: string, near: string, far: string, name: string}} options `network` is the
   *   first three numbers of its addresses, `near` and `far` are namespaces, and `name` is the one of both devices
   */
  static async between(program, { log, seed, network, near, far, name }) {
    const wire = new Wire();
    wire.#log = log;
    wire.#process = spawn(program, [log, String(seed), near, name, far, name], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(wire.#process.stdout, 'data');
    for (const [space, host] of [[near, 1], [far, 2]]) {
      // Without a link-local address, which turns valid later: browsers drop what they load when networks change.
      ip('-n', space, 'link', 'set', name, 'addrgenmode', 'none');
      ip('-n', space, 'address', 'add', `${network}.${host}/24`, 'dev', name);
      ip('-n', space, 'link', 'set', name, 'up');
    }
    return wire;
  }

  /** @param {{there?: Link, back?: Link}} links what changes from now on: from near to far, and back */
  set({ there, back }) {
    for (const [number, link] of [there, back].entries()) {
      if (!link) continue;
      const { rate = 0, queue = 300, delay = 0, loss = 0 } = link;
      this.#process.stdin.write(`set ${number} ${rate} ${queue} ${delay} ${loss}\n`);
    }
  }

  /** Ends it. @returns {Promise<Passed[]>} what has passed */
  async close() {
    const ended = once(this.#process, 'exit');
    this.#process.stdin.end();
    await ended;
    return readFileSync(this.#log, 'utf8').split('\n').filter(Boolean).map((line) => {
      const [at, direction, bytes, first, second, sequence, ssrc, fate] = line.split(' ');
      const passed = fate !== 'lost' && fate !== 'full';
      return {
        at: Number(at) / 1000,
        way: direction === '0' ? 'there' : 'back',
        bytes: Number(bytes),
        first: Number(first),
        type: Number(second) & 127,
        sequence: Number(sequence),
        ssrc: Number(ssrc),
        fate: passed ? 'passed' : fate,
        wait: passed ? Number(fate) / 1000 : 0,
      };
    });
  }
}

/** Whether the packet is one of RTP, neither RTCP nor of another protocol. @param {Passed} packet */
export const isRtp = ({ first, type }) => first >= 128 && first < 192 && (type < 64 || type >= 96);
