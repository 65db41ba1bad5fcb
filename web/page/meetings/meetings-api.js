import { at } from '../base/root.js';
import { noteServerTime } from '../base/server-clock.js';

/**
 * @typedef {object} Invitation
 * @property {string} meeting
 * @property {string} code
 * @property {string} joinUrl
 * @property {string} title
 * @property {string} startsAt
 * @property {string} endsAt
 * @property {boolean} hasTime
 * @property {string} timeZone
 * @property {'scheduled' | 'open' | 'ended' | 'cancelled' | 'expired'} state
 * @property {boolean} hasPassword
 * @property {boolean} lobby
 * @property {string | null} recurrence
 * @property {string} now
 *
 * @typedef {Invitation & {hostUrl: string, durationMinutes: number}} Meeting
 */

/** The server's refusal of a request, with the reason as a sentence. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {{detail?: string, ownOrigin?: string} | null} problem
   */
  constructor(status, problem) {
    super(problem?.detail ?? '');
    this.status = status;
    /** The origin that the server considers its own, if it refused that of this page. */
    this.ownOrigin = problem?.ownOrigin;
  }
}

/**
 * @param {string} path
 * @param {{method?: string, body?: unknown, token?: string | null, headers?: Record<string, string>}} [request]
 * @returns {Promise<any>}
 */
async function ask(path, { method = 'GET', body, token, headers = {} } = {}) {
  const all = { ...headers, ...(token ? { Authorization: `Bearer ${token}` } : {}), ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) };
  const response = await fetch(at(path), { method, headers: all, body: body === undefined ? null : JSON.stringify(body), cache: 'no-store' });
  const text = await response.text();
  const json = text ? JSON.parse(text) : null;
  if (!response.ok) throw new ApiError(response.status, json);
  return json;
}

/**
 * Books a meeting. A request repeated after a lost answer books no second one.
 *
 * @param {Record<string, unknown>} wanted
 * @param {string | null} [key] an API key
 * @returns {Promise<Meeting>}
 */
export async function book(wanted, key) {
  const headers = { 'Idempotency-Key': [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('') };
  const request = { method: 'POST', body: wanted, token: key ?? null, headers };
  try {
    return await ask('api/v1/meetings', request);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    return ask('api/v1/meetings', request);
  }
}

/**
 * Returns the public part of a meeting, which whoever has the link may read.
 *
 * @param {string} meeting
 * @returns {Promise<Invitation>}
 */
export async function invitation(meeting) {
  const askedAt = Date.now();
  const seen = await ask(`api/v1/invitations/${encodeURIComponent(meeting)}`);
  noteServerTime(Date.parse(seen.now), askedAt);
  return seen;
}

/** The server's features; `null` if it does not answer. @returns {Promise<string[] | null>} */
async function features() {
  try {
    return (await ask('version')).features;
  } catch {
    return null;
  }
}

/** Whether the server sends invitations by mail. */
export const sendsMail = async () => (await features())?.includes('mail') ?? false;

/** Whether rooms and meetings can be created without a key; true if the server does not answer. */
export const isOpenToAll = async () => (await features())?.includes('anonymous-rooms') ?? true;

/** @param {string} key @returns {Promise<{meetings: Meeting[]}>} */
export const meetingsOf = (key) => ask('api/v1/meetings?limit=100', { token: key });

/** @param {string} meeting @param {string} token */
export const end = (meeting, token) => ask(`api/v1/meetings/${meeting}/end`, { method: 'POST', token });

/** @param {string} meeting @param {string} token */
export const cancel = (meeting, token) => ask(`api/v1/meetings/${meeting}`, { method: 'DELETE', token });

/**
 * @param {string} meeting
 * @param {string} token
 * @param {Record<string, unknown>} change
 */
export const change = (meeting, token, change) =>
  ask(`api/v1/meetings/${meeting}`, { method: 'PATCH', token, body: change, headers: { 'If-Match': '*' } });
