// Planted faults: a proxy in front of a server that breaks one rule, to show that the suite finds it.

import { once } from 'node:events';
import http from 'node:http';

/** A proxy with a fault. `answer` changes what the server answers, `request` what it is asked, or answers in its place. */
export class FaultyProxy {
  #agent = new http.Agent({ keepAlive: true });
  #listener;

  static async before(target, fault) {
    const proxy = new FaultyProxy();
    proxy.#listener = http.createServer((request, response) =>
      proxy.#forward(new URL(target), fault, request, response).catch((error) => response.destroy(error)));
    proxy.#listener.listen(0, '127.0.0.1');
    await once(proxy.#listener, 'listening');
    proxy.url = `http://127.0.0.1:${proxy.#listener.address().port}`;
    return proxy;
  }

  async #forward(target, fault, incoming, response) {
    const { method, url } = incoming;
    const request = { method, url, headers: { ...incoming.headers }, body: await text(incoming) };
    const answer = fault.request?.(request) ?? await this.#ask(target, request);
    fault.answer?.(answer, request);
    const { 'content-length': _, 'transfer-encoding': __, ...headers } = answer.headers;
    const empty = answer.status === 204 || method === 'HEAD';
    response.writeHead(answer.status, empty ? headers : { ...headers, 'content-length': Buffer.byteLength(answer.body) });
    response.end(empty ? undefined : answer.body);
  }

  async #ask(target, { method, url, headers, body }) {
    headers = { ...headers, host: target.host, 'content-length': Buffer.byteLength(body) };
    const sent = http.request(new URL(url, target), { method, headers, agent: this.#agent });
    sent.end(body);
    const [message] = await once(sent, 'response');
    // Of `headers`, the fields that may come more than once, such as Link, would be one.
    const all = message.headersDistinct;
    return { status: message.statusCode, headers: { ...all }, body: await text(message) };
  }

  async close() {
    this.#agent.destroy();
    this.#listener.closeAllConnections();
    await new Promise((resolve) => this.#listener.close(resolve));
  }
}

async function text(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

const created = ({ method, url }, { status }) => method === 'POST' && status === 201 && url !== '/events';
const isEndpoint = ({ url }) => url.split('/').length === 3;
const refuse = (status) => ({ status, headers: {}, body: '' });

/** Changes the body of an answer to an offer. */
const inAnswer = (change) => ({ answer: (answer, request) => { if (created(request, answer)) answer.body = change(answer.body, request); } });
/** Changes the headers of an answer to an offer. */
const inHeaders = (change) => ({ answer: (answer, request) => { if (created(request, answer)) change(answer.headers); } });
/** Answers a method with another status. */
const instead = (ofMethod, from, to) => ({ answer: (answer, { method }) => { if (method === ofMethod && answer.status === from) Object.assign(answer, { status: to, body: '' }); } });
/** Refuses some offers. */
const refusing = (which) => ({ request: (request) => (request.method === 'POST' && which(request) ? refuse(422) : undefined) });

/** Attempts at what is going to succeed: enough for however busy a machine. */
export const PATIENT = 300;

/** A fault: what it is, the proxy's part, the rules that it breaks, and options of the run, if it takes any. */
export const FAULTS = [
  { name: 'a GET of the endpoint has content', breaks: ['get-endpoint'], proxy: { request: (request) => (request.method === 'GET' && isEndpoint(request) ? { status: 200, headers: {}, body: 'hello' } : undefined) } },
  { name: 'a GET of a session is 405', breaks: ['get-session'], proxy: { request: (request) => (request.method === 'GET' && !isEndpoint(request) ? refuse(405) : undefined) } },
  { name: 'PUT opens a session', breaks: ['method'], proxy: instead('PUT', 405, 201) },
  { name: 'a 405 without Allow', breaks: ['method'], proxy: { answer: (answer) => { if (answer.status === 405) delete answer.headers.allow; } } },
  { name: '200 instead of 201', breaks: ['created'], proxy: { answer: (answer, request) => { if (created(request, answer)) answer.status = 200; } } },
  { name: 'no Location', breaks: ['location'], proxy: inHeaders((headers) => delete headers.location) },
  { name: 'all sessions have one Location', breaks: ['location-new'], proxy: (() => {
    let current;
    return {
      request: (request) => { if (request.url.endsWith('/the-one')) request.url = current; },
      answer: (answer, request) => {
        if (!created(request, answer)) return;
        [current] = answer.headers.location;
        answer.headers.location = `${request.url}/the-one`;
      },
    };
  })() },
  { name: 'the answer is text/plain', breaks: ['answer-type'], proxy: inHeaders((headers) => { headers['content-type'] = 'text/plain'; }) },
  { name: 'media types are compared as they are written', breaks: ['type-spelling'], proxy: refusing(({ headers }) => headers['content-type'] !== 'application/sdp') },
  { name: 'an offer of any Content-Type is taken', breaks: ['wrong-type'], proxy: { request: (request) => { if (request.method === 'POST') request.headers['content-type'] = 'application/sdp'; } } },
  { name: 'a malformed offer is an error of the server', breaks: ['malformed'], proxy: instead('POST', 400, 500) },
  { name: 'a section is left out', breaks: ['sections', 'mids'], proxy: inAnswer((body) => body.replace(/^m=video[^]*/m, '')) },
  { name: 'other mids', breaks: ['mids'], proxy: inAnswer((body) => body.replace('a=mid:1', 'a=mid:one').replace(/(a=group:BUNDLE 0) 1/, '$1 one')) },
  { name: 'a format that was not offered', breaks: ['formats'], proxy: inAnswer((body) => body.replace(/^(m=audio \d+ \S+) .*$/m, '$1 77')) },
  { name: 'both directions', breaks: ['direction', 'sendrecv'], proxy: inAnswer((body) => body.replaceAll('a=recvonly', 'a=sendrecv')) },
  { name: 'an offer that is sendrecv is refused', breaks: ['sendrecv'], proxy: refusing(({ body }) => body.includes('a=sendrecv')) },
  { name: 'a short password, which is not the one of the checks', breaks: ['credentials', 'ice'], attempts: 3, proxy: inAnswer((body) => body.replace(/^a=ice-pwd:.*$/gm, 'a=ice-pwd:short')) },
  { name: 'no fingerprint', breaks: ['fingerprint', 'dtls'], attempts: PATIENT, proxy: inAnswer((body) => body.replace(/^a=fingerprint:.*\r\n/gm, '')) },
  { name: 'the fingerprint of another certificate', breaks: ['dtls'], attempts: PATIENT, proxy: inAnswer((body) => body.replace(/^(a=fingerprint:sha-256 )(..)/gm, (_, before, byte) => before + (byte === '00' ? '01' : '00'))) },
  { name: 'setup:actpass is echoed', breaks: ['setup'], proxy: inAnswer((body, request) => (request.body.includes('a=setup:actpass') ? body.replace(/^a=setup:.*$/gm, 'a=setup:actpass') : body)) },
  { name: 'setup:active for setup:active', breaks: ['setup-active'], proxy: inAnswer((body, request) => (request.body.includes('a=setup:active') ? body.replace(/^a=setup:.*$/gm, 'a=setup:active') : body)) },
  { name: 'DELETE is not there', breaks: ['delete'], proxy: instead('DELETE', 200, 405) },
  { name: 'a session can be ended twice', breaks: ['delete-again'], proxy: instead('DELETE', 404, 200) },
  { name: 'DELETE minds If-Match', breaks: ['delete-tag'], proxy: { request: ({ method, headers }) => (method === 'DELETE' && headers['if-match'] === '"of-another-ice-session"' ? refuse(412) : undefined) } },
  { name: 'OPTIONS outside of a preflight is 404', breaks: ['options'], proxy: { answer: (answer, { method, headers }) => { if (method === 'OPTIONS' && !headers.origin) answer.status = 404; } } },
  { name: 'no Accept-Post', breaks: ['accept-post'], proxy: { answer: ({ headers }) => delete headers['accept-post'] } },
  { name: 'no origin is let in', breaks: ['preflight'], proxy: { answer: ({ headers }) => delete headers['access-control-allow-origin'] } },
  { name: 'a preflight needs a token', breaks: ['preflight', 'challenge'], proxy: { request: ({ method, headers }) => (method === 'OPTIONS' && headers.origin ? refuse(401) : undefined) } },
  { name: 'pages may not PATCH', breaks: ['preflight-session'], proxy: { answer: (answer) => { if (answer.headers['access-control-allow-methods']) answer.headers['access-control-allow-methods'] = 'POST, DELETE'; } } },
  { name: 'pages cannot read the headers', breaks: ['exposed'], proxy: inHeaders((headers) => delete headers['access-control-expose-headers']) },
  { name: 'no candidates', breaks: ['candidates'], proxy: inAnswer((body) => body.replace(/^a=candidate:.*\r\n/gm, '')) },
  { name: 'a weak ETag', breaks: ['etag'], proxy: { request: ({ headers }) => { if (headers['if-match']) headers['if-match'] = headers['if-match'].replace('W/', ''); }, ...inHeaders((headers) => { headers.etag = `W/${headers.etag}`; }) } },
  { name: 'a 204 with an ETag', breaks: ['trickle'], proxy: { answer: (answer, { method }) => { if (method === 'PATCH' && answer.status === 204) answer.headers.etag = '"new"'; } } },
  { name: 'candidates of unknown kinds are refused', breaks: ['trickle-odd'], proxy: { request: ({ method, body }) => (method === 'PATCH' && body.includes('sctp') ? refuse(400) : undefined) } },
  { name: 'PATCH without If-Match is taken', breaks: ['tag-missing'], proxy: instead('PATCH', 428, 204) },
  { name: 'an outdated ETag is taken', breaks: ['tag-stale', 'restart-tag'], proxy: instead('PATCH', 412, 204) },
  { name: 'PATCH of any Content-Type is taken', breaks: ['patch-type'], proxy: instead('PATCH', 415, 204) },
  { name: 'a malformed fragment is taken', breaks: ['patch-malformed'], proxy: instead('PATCH', 400, 204) },
  { name: 'an ICE restart keeps the password', breaks: ['restart'], proxy: (() => {
    let first;
    return { answer: (answer, request) => {
      if (created(request, answer)) first = /^a=ice-pwd:.*$/m.exec(answer.body)[0];
      if (request.method === 'PATCH' && answer.status === 200) answer.body = answer.body.replace(/^a=ice-pwd:.*$/m, first);
    } };
  })() },
  { name: 'an ICE restart keeps the ETag', breaks: ['restart-tag'], proxy: (() => {
    let first;
    return { answer: (answer, request) => {
      if (created(request, answer)) first = answer.headers.etag;
      if (request.method === 'PATCH' && answer.status === 200) answer.headers.etag = first;
    } };
  })() },
  { name: 'an ICE restart forgets ice-lite', breaks: ['restart-lite'], proxy: { answer: (answer, { method }) => { if (method === 'PATCH') answer.body = answer.body.replace('a=ice-lite\r\n', ''); } } },
  { name: 'an ICE restart without a password is taken', breaks: ['restart-refused'], proxy: instead('PATCH', 422, 204) },
  { name: 'no BUNDLE group', breaks: ['bundle'], proxy: inAnswer((body) => body.replace(/^a=group:BUNDLE.*\r\n/m, '')) },
  { name: 'bundle-only is not understood', breaks: ['bundle-only'], proxy: refusing(({ body }) => body.includes('a=bundle-only')) },
  { name: 'no rtcp-mux', breaks: ['rtcp-mux'], proxy: inAnswer((body) => body.replaceAll('a=rtcp-mux\r\n', '')) },
  { name: 'a MediaStream for each section', protocol: 'whep', breaks: ['msid'], proxy: inAnswer((body) => body.replace(/(m=video[^]*?a=msid:)\S+/, '$1another')) },
  { name: 'half of an offer is accepted', breaks: ['partial', 'two-videos'], proxy: { request: (request) => {
    const { body } = request;
    if (request.method !== 'POST') return;
    // What the server does not take is rejected in its name.
    request.rejected = body.includes('x-conformance') || body.split('m=video').length > 2;
    if (request.rejected) request.body = body.replace(/(a=group:BUNDLE 0).*/, '$1').replace(/^m=video[^]*/m, '');
  }, answer: (answer, request) => {
    if (request.rejected && created(request, answer)) answer.body += 'm=video 0 UDP/TLS/RTP/SAVPF 120\r\na=mid:1\r\n';
  } } },
  { name: 'POST is redirected by 302', breaks: ['redirect', 'created'], proxy: { request: ({ method }) => (method === 'POST' ? { status: 302, headers: { location: '/whip/elsewhere' }, body: '' } : undefined) } },
  { name: 'a TURN server without its password', breaks: ['ice-servers'], proxy: inHeaders((headers) => { headers.link = headers.link.map((link) => link.replace(/; credential="[^"]*"/, '')); }) },
  { name: 'a preflight tells TURN servers', breaks: ['ice-servers-preflight'], proxy: { answer: (answer, { method }) => { if (method === 'OPTIONS') answer.headers.link = ['<stun:127.0.0.1>; rel="ice-server"']; } } },
  { name: 'any token is taken', breaks: ['bearer'], token: 'any', proxy: { request: ({ headers }) => { delete headers.authorization; } } },
  { name: 'a 401 without a challenge', breaks: ['challenge'], proxy: { answer: ({ headers }) => delete headers['www-authenticate'] } },
  { name: 'an extension with a rel of its own', breaks: ['extensions'], proxy: inHeaders((headers) => headers.link.push('</extra>; rel="urn:example:extra"')) },
  { name: 'layers without their event', protocol: 'whep', breaks: ['layers'], proxy: inHeaders((headers) => headers.link.push('</layer>; rel="urn:ietf:params:whep:ext:core:layer"')) },
  { name: 'an event stream without a Location', protocol: 'whep', breaks: ['server-sent-events'], proxy: {
    request: ({ url }) => (url === '/events' ? { status: 201, headers: {}, body: '' } : undefined),
    ...inHeaders((headers) => headers.link.push('</events>; rel="urn:ietf:params:whep:ext:core:server-sent-events"; events="active,inactive"')),
  } },
  { name: 'nobody publishes, and no word of when to come back', protocol: 'whep', breaks: ['not-live'], proxy: { request: ({ method }) => (method === 'POST' ? refuse(409) : undefined) } },
  { name: 'a counter-offer without a Location', protocol: 'whep', breaks: ['counter-offer'], proxy: { answer: (answer, request) => {
    if (!created(request, answer)) return;
    answer.status = 406;
    delete answer.headers.location;
  } } },
];
