// The client's half of WHIP and WHEP over HTTP: requests with all their headers, as no browser's `fetch` shows them.

import http from 'node:http';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

export const SDP = 'application/sdp';
export const FRAGMENT = 'application/trickle-ice-sdpfrag';
const PATIENCE_MS = 60_000;
const MOST_REDIRECTIONS = 5;
/** How often a request is repeated that a server has put off with 429, and the longest wait, in seconds, that it may ask for. */
const MOST_REPEATS = 10;
const LONGEST_WAIT = 10;

class Answer {
  constructor(message, body, url) {
    Object.assign(this, { status: message.statusCode, body, url, raw: message.rawHeaders });
  }

  header(name) {
    return this.headers(name)[0] ?? '';
  }

  /** All fields of a name. */
  headers(name) {
    return this.raw.filter((_, index) => index % 2 === 1 && this.raw[index - 1].toLowerCase() === name);
  }

  /** The words of a header that is a list, in lower case. */
  list(name) {
    return this.headers(name).flatMap((value) => value.split(',')).map((value) => value.trim().toLowerCase());
  }

  /** The media type without its parameters. */
  get type() {
    return this.header('content-type').split(';')[0].trim().toLowerCase();
  }

  get succeeded() {
    return this.status >= 200 && this.status < 300;
  }

  /** An error of the client's, as HTTP counts. */
  get refused() {
    return this.status >= 400 && this.status < 500;
  }

  toString() {
    return this.body ? `${this.status} with ${this.body.length} bytes of ${this.type || 'no type'}` : `${this.status}`;
  }
}

/** What stands for an answer that did not come. */
class Silence extends Answer {
  constructor(error, url) {
    super({ statusCode: 0, rawHeaders: [] }, '', url);
    this.error = error;
  }

  toString() {
    return `no answer (${this.error.code ?? this.error.message})`;
  }
}

/** The `Link` fields of an answer: targets with their parameters (RFC 8288 section 3). */
export function links(answer) {
  const found = [];
  for (const field of answer.headers('link')) {
    for (const [, target, rest] of field.matchAll(/<([^>]*)>((?:\s*;\s*[^\s=;,"]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?|\s+[^\s=;,"]+="[^"]*")*)/g)) {
      const parameters = {};
      for (const [, name, quoted, token] of rest.matchAll(/([^\s=;,"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))/g)) {
        parameters[name.toLowerCase()] ??= quoted === undefined ? token : quoted.replace(/\\(.)/g, '$1');
      }
      found.push({ target, parameters });
    }
  }
  return found;
}

export class Client {
  #agents = { 'http:': new http.Agent({ keepAlive: true }), 'https:': null };
  /** The sessions that are open, for the end of the run. */
  #open = new Set();
  /** Called with each answer. */
  observe = () => {};

  constructor({ url, token, insecure = false }) {
    this.url = new URL(url);
    this.token = token;
    this.#agents['https:'] = new https.Agent({ keepAlive: true, rejectUnauthorized: !insecure });
  }

  /** One request, not redirected, and repeated where the server asks for patience: many in a row may be too many for it. */
  async request(method, url, options) {
    for (let repeats = 0; ; repeats += 1) {
      const answer = await this.#ask(method, new URL(url, this.url), options);
      this.observe(method, answer);
      const wait = answer.status === 429 && repeats < MOST_REPEATS ? Number(answer.header('retry-after') || NaN) : NaN;
      if (!(wait <= LONGEST_WAIT)) return answer;
      await sleep(wait * 1000);
    }
  }

  /** `token: null` sends none. */
  async #ask(method, url, { headers = {}, body, token = this.token } = {}) {
    const all = { ...(token ? { Authorization: `Bearer ${token}` } : {}), ...headers };
    if (body !== undefined) all['Content-Length'] = Buffer.byteLength(body);
    return new Promise((resolve) => {
      const silence = (error) => resolve(new Silence(error, url));
      const { request } = url.protocol === 'https:' ? https : http;
      const sent = request(url, { method, headers: all, agent: this.#agents[url.protocol], timeout: PATIENCE_MS }, (message) => {
        const pieces = [];
        message.on('data', (piece) => pieces.push(piece)).on('error', silence);
        message.on('end', () => resolve(new Answer(message, Buffer.concat(pieces).toString(), url)));
      });
      sent.on('error', silence).on('timeout', () => sent.destroy(new Error('timeout')));
      sent.end(body);
    });
  }

  /** POST to the endpoint, redirected as RFC 9725 section 4.5 says. */
  async post(body, { type = SDP, ...options } = {}) {
    const headers = { ...(type ? { 'Content-Type': type } : {}), ...options.headers };
    let url = this.url;
    for (let redirections = 0; ; redirections += 1) {
      const answer = await this.request('POST', url, { ...options, headers, body });
      const target = answer.header('location');
      if ([307, 308].includes(answer.status) && target && redirections < MOST_REDIRECTIONS) {
        url = new URL(target, url);
        continue;
      }
      if (answer.succeeded && target && URL.canParse(target, answer.url)) this.#open.add(new URL(target, answer.url).href);
      return answer;
    }
  }

  async delete(session, headers = {}) {
    const answer = await this.request('DELETE', session, { headers });
    if (answer.succeeded) this.#open.delete(new URL(session, this.url).href);
    return answer;
  }

  patch(session, body, { tag, type = FRAGMENT }) {
    return this.request('PATCH', session, { headers: { 'Content-Type': type, ...(tag ? { 'If-Match': tag } : {}) }, body });
  }

  /** Ends all sessions that are open, and closes the connections. */
  async close() {
    for (const session of this.#open) await this.delete(session);
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }
}
