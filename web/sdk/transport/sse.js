import { readEventStream } from './event-stream.js';

/**
 * An event stream for server messages, and one POST at a time for client messages.
 *
 * @implements {Transport}
 * @typedef {import('./transport.js').Transport} Transport
 * @typedef {import('./transport.js').Listener} Listener
 * @typedef {import('./messages.js').ClientMessage} ClientMessage
 */
export class SseTransport {
  #base;
  #listener;
  #abort = new AbortController();
  /** @type {{url: URL, secret: string} | null} */
  #session = null;
  /** @type {ClientMessage[]} */
  #queue = [];
  #posting = false;
  /** @type {ClientMessage | null} */
  #leaving = null;
  /** Whether the stream is open, so that answers to messages arrive. */
  #streaming = false;

  /**
   * @param {URL} base
   * @param {Listener} listener
   */
  constructor(base, listener) {
    this.#base = base;
    this.#listener = listener;
  }

  /** @param {ClientMessage} first */
  async open(first) {
    try {
      const response = await this.#request(new URL('api/v1/sessions', this.#base), 'POST', first);
      if (!response.ok) return await this.#refused(response);
      const welcome = await response.json();
      const url = new URL(`api/v1/sessions/${encodeURIComponent(welcome.session)}`, this.#base);
      this.#session = { url, secret: welcome.secret };
      // The client left before the server answered.
      if (this.#leaving) return this.leave(this.#leaving);
      this.#listener.event(welcome);
      await this.#listen(first.type === 'resume' ? first.lastId : welcome.lastId);
    } catch {
      // The network failed, or this side has closed. The session decides what follows.
    }
    this.#ended({ replaced: false });
  }

  /** The first message is part of the request, so it cannot be held back. */
  hold() {
    return false;
  }

  /** @param {ClientMessage} message */
  send(message) {
    this.#queue.push(message);
    void this.#flush();
  }

  /** @param {ClientMessage} leave */
  leave(leave) {
    const session = this.#session;
    this.#leaving = leave;
    // A pending join cannot be withdrawn before it is answered.
    if (!session) return;
    this.close();
    const url = new URL(`${session.url.pathname}/messages`, this.#base);
    const headers = { Authorization: `Bearer ${session.secret}`, 'Content-Type': 'application/json' };
    fetch(url, { method: 'POST', headers, body: JSON.stringify(leave), keepalive: true }).catch(() => {});
  }

  close() {
    this.#abort.abort();
  }

  /** @param {number} cursor */
  async #listen(cursor) {
    if (!this.#session) return;
    const headers = {
      Accept: 'text/event-stream',
      Authorization: `Bearer ${this.#session.secret}`,
      'Last-Event-ID': String(cursor),
    };
    const url = new URL(`${this.#session.url.pathname}/events`, this.#base);
    const response = await fetch(url, { headers, cache: 'no-store', signal: this.#abort.signal });
    if (response.status === 204) return this.#ended({ replaced: true });
    if (!response.ok || !response.body) return this.#refused(response);
    this.#streaming = true;
    void this.#flush();
    await readEventStream(response.body, ({ id, data }) => {
      if (this.#abort.signal.aborted) return;
      const event = JSON.parse(data);
      if (id !== '' && event.id === undefined) event.id = Number(id);
      this.#listener.event(event);
    });
  }

  /** Posts the waiting messages together. Only one POST is in flight, to preserve their order. */
  async #flush() {
    if (this.#posting || !this.#session || !this.#streaming) return;
    this.#posting = true;
    const url = new URL(`${this.#session.url.pathname}/messages`, this.#base);
    try {
      while (this.#queue.length > 0) {
        const batch = this.#queue.splice(0, 32);
        const response = await this.#request(url, 'POST', batch);
        if (!response.ok) return await this.#refused(response);
      }
    } catch {
      this.#ended({ replaced: false });
    } finally {
      this.#posting = false;
    }
  }

  /**
   * @param {URL} url
   * @param {string} method
   * @param {any} body
   */
  #request(url, method, body) {
    /** @type {Record<string, string>} */
    const headers = { 'Content-Type': 'application/json' };
    if (this.#session) headers.Authorization = `Bearer ${this.#session.secret}`;
    return fetch(url, { method, headers, body: JSON.stringify(body), signal: this.#abort.signal });
  }

  /**
   * Turns a problem document into an `error` event.
   *
   * @param {Response} response
   */
  async #refused(response) {
    const problem = await response.json().catch(() => null);
    const retryAfterMs = Number(response.headers.get('Retry-After')) * 1000 || undefined;
    if (problem?.code) {
      const { code, detail, title, startsAt, ownOrigin } = problem;
      const type = /** @type {const} */ ('error');
      const refusal = { type, code, message: detail ?? title ?? code, retryable: retryAfterMs !== undefined, retryAfterMs, startsAt, ownOrigin };
      this.#listener.event(refusal);
    }
    this.#ended({ replaced: false, retryAfterMs });
  }

  /** @param {import('./transport.js').TransportEnd} end */
  #ended(end) {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort();
    this.#listener.closed(end);
  }
}
