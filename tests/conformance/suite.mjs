// The suite: it goes through the sections of RFC 9725 and of the WHEP draft against one endpoint. At most one session is open at
// a time, since a server may allow an endpoint only one publisher.

import { Client, FRAGMENT, SDP, links } from './client.mjs';
import { connect } from './media.mjs';
import { Report } from './report.mjs';
import { Description, ODD_CANDIDATES, credentials, fragment, offer } from './sdp.mjs';

const MADE_UP_ORIGIN = 'https://conformance.example';
const STRONG_TAG = /^"[^"]+"$/;

/**
 * Runs the suite. Without `origin`, a made-up one is tried, which a server need not let in. `attempts` are those at ICE and at
 * DTLS, five a second; 0 leaves them out.
 */
export async function check({ protocol, url, token, origin, insecure, attempts = 25 }) {
  const report = new Report(protocol, url);
  const client = new Client({ url, token, insecure });
  const run = new Run({ report, client, protocol, origin, attempts });
  client.observe = (method, answer) => run.observe(method, answer);
  try {
    await run.all();
  } finally {
    await client.close();
  }
  return report;
}

class Run {
  #report;
  #client;
  #protocol;
  #origin;
  #attempts;
  /** Headers of requests that come from a page of the origin, once the server lets it in. */
  #fromPage = {};

  constructor({ report, client, protocol, origin, attempts }) {
    this.#report = report;
    this.#client = client;
    this.#protocol = protocol;
    this.#origin = origin;
    this.#attempts = attempts;
  }

  /** What is read of every answer. */
  observe(method, answer) {
    const { status } = answer;
    if (method === 'POST' && [301, 302, 303].includes(status)) this.#holds('redirect', false, `${status}`);
    if (method === 'POST' && [307, 308].includes(status)) this.#holds('redirect', answer.header('location') !== '', `${status} to ${answer.header('location')}`);
    if (status === 503) this.#holds('retry-after', answer.header('retry-after') !== '', `503, Retry-After: ${answer.header('retry-after')}`);
    if (status === 401) {
      const challenges = answer.headers('www-authenticate');
      this.#holds('challenge', challenges.some((one) => /\bbearer\b/i.test(one)), `WWW-Authenticate: ${challenges.join(', ') || 'none'}`);
    }
  }

  async all() {
    await this.#options();
    if (await this.#session()) {
      await this.#offers();
      await this.#refusals();
    }
    await this.#bearer();
    this.#report.notOffered('redirect', 'no POST was redirected');
    this.#report.notOffered('retry-after', 'no answer was 503');
    this.#report.notTested('challenge', 'no answer was 401');
  }

  #holds(id, holds, found) {
    this.#report.holds(id, Boolean(holds), String(found));
  }

  #offer(more = {}) {
    return offer({ direction: this.#protocol === 'whip' ? 'sendonly' : 'recvonly', ...more });
  }

  get #answering() {
    return this.#protocol === 'whip' ? 'recvonly' : 'sendonly';
  }

  // --- OPTIONS (RFC 9725 section 4.2, WHEP section 4.3)

  async #options() {
    const { url } = this.#client;
    const plain = await this.#client.request('OPTIONS', url);
    if (plain.status === 0) throw new Error(`${url.href}: ${plain}`);
    this.#holds('options', plain.succeeded, plain);
    this.#holds('accept-post', plain.list('accept-post').includes(SDP), `Accept-Post: ${plain.header('accept-post') || 'none'}`);
    const preflight = await this.#preflight(url, 'POST', ['content-type']);
    if (preflight.allowed) this.#fromPage = { Origin: this.#origin ?? MADE_UP_ORIGIN };
    if (preflight.allowed || this.#origin) this.#holds('preflight', preflight.allowed, preflight.found);
    else this.#report.notTested(['preflight', 'preflight-session', 'exposed'], `no pages of ${MADE_UP_ORIGIN} are let in: name an origin with --origin`);
    this.#holds('ice-servers-preflight', iceServers(preflight.answer).length === 0, `${iceServers(preflight.answer).length} of them`);
  }

  /** What a browser asks before a request of a page (Fetch, "CORS-preflight fetch"). */
  async #preflight(url, method, names) {
    const origin = this.#origin ?? MADE_UP_ORIGIN;
    if (this.#client.token) names = ['authorization', ...names];
    const headers = { Origin: origin, 'Access-Control-Request-Method': method, 'Access-Control-Request-Headers': names.join(',') };
    const answer = await this.#client.request('OPTIONS', url, { headers, token: null });
    const allows = (list, word) => list.includes(word) || (list.includes('*') && word !== 'authorization');
    const lacking = [
      ...(answer.succeeded ? [] : [`status ${answer.status}`]),
      ...([origin, '*'].includes(answer.header('access-control-allow-origin')) ? [] : [`Access-Control-Allow-Origin: ${answer.header('access-control-allow-origin') || 'none'}`]),
      // POST needs no permission.
      ...(method === 'POST' || allows(answer.list('access-control-allow-methods'), method.toLowerCase()) ? [] : [`${method} is no allowed method`]),
      ...names.filter((name) => !allows(answer.list('access-control-allow-headers'), name)).map((name) => `${name} is no allowed header`),
    ];
    return { answer, allowed: lacking.length === 0, found: lacking.join('; ') || 'all of it' };
  }

  // --- A session from POST to DELETE

  /** The first session, and all that is asked of one. `false`: there was none. */
  async #session() {
    const offered = this.#offer();
    const answer = await this.#client.post(offered.sdp, { headers: this.#fromPage });
    if (this.#protocol === 'whep' && answer.status === 409) {
      this.#holds('not-live', answer.header('retry-after') !== '', `Retry-After: ${answer.header('retry-after') || 'none'}`);
      this.#report.notTested('created', 'nobody publishes: 409');
      return false;
    }
    this.#report.notOffered('not-live', 'the server answers without a publisher, or somebody publishes');
    if (this.#protocol === 'whep' && answer.status === 406 && answer.type === SDP) {
      this.#counterOffer(answer);
      return false;
    }
    this.#report.notOffered('counter-offer', 'the server answers the offer');
    this.#holds('created', answer.status === 201, answer);
    if (!answer.succeeded) return false;
    this.#holds('answer-type', answer.type === SDP, `Content-Type: ${answer.header('content-type') || 'none'}`);
    const place = answer.header('location');
    const located = place !== '' && URL.canParse(place, answer.url) && new URL(place, answer.url).href !== answer.url.href;
    this.#holds('location', located, `Location: ${place || 'none'}`);
    const exposed = answer.list('access-control-expose-headers');
    const hidden = ['location', 'etag', 'link'].filter((name) => answer.header(name) && !exposed.includes(name) && !exposed.includes('*'));
    if (this.#fromPage.Origin) this.#holds('exposed', hidden.length === 0, `not readable: ${hidden.join(', ') || 'nothing'}`);
    const description = new Description(answer.body);
    this.#answer(offered, description);
    this.#links(answer);
    if (!located) return true;

    const session = new URL(place, answer.url);
    const got = await this.#client.request('GET', session);
    this.#holds('get-session', got.succeeded && got.body === '', got);
    if (this.#fromPage.Origin) {
      const names = ['content-type', 'if-match'];
      const [patch, end] = [await this.#preflight(session, 'PATCH', names), await this.#preflight(session, 'DELETE', [])];
      this.#holds('preflight-session', patch.allowed && end.allowed, [patch, end].map(({ found }) => found).join('; '));
    }
    await this.#connect(offered, description);
    await this.#serverSentEvents(answer);
    const tag = await this.#ice(session, offered, answer, description);
    await this.#end(session, tag);
    return true;
  }

  /** The rules of the answer's body. */
  #answer(offered, description) {
    const { sections, accepted } = description;
    const kinds = offered.kinds.join(' ');
    this.#holds('sections', sections.map(({ kind }) => kind).join(' ') === kinds, `${sections.map(({ kind }) => kind).join(' ') || 'none'} for ${kinds}`);
    const mids = sections.map((section) => section.all('mid').join());
    this.#holds('mids', mids.join() === offered.kinds.map((_, index) => index).join(), `mids ${mids.join(', ')}`);
    const ofOffer = new Description(offered.sdp);
    const foreign = accepted.filter(({ formats }, index) => formats.length === 0 || !formats.every((format) => ofOffer.sections[sections.indexOf(accepted[index])]?.formats.includes(format)));
    this.#holds('formats', accepted.length > 0 && foreign.length === 0, sections.map(({ kind, formats }) => `${kind}: ${formats.join(' ')}`).join('; '));
    const directions = accepted.map((section) => description.direction(section));
    this.#holds('direction', directions.every((direction) => direction === this.#answering), directions.join(', '));
    const each = (name) => accepted.map((section) => description.of(section, name));
    // Bundled sections may leave their transport to the first one.
    const first = (name) => (accepted.length > 0 ? description.of(accepted[0], name) : undefined);
    const [ufrag = '', pwd = ''] = [first('ice-ufrag'), first('ice-pwd')];
    const lengths = ufrag.length >= 4 && ufrag.length <= 256 && pwd.length >= 22 && pwd.length <= 256;
    this.#holds('credentials', lengths && /^[\w+/]+$/.test(ufrag + pwd), `ice-ufrag of ${ufrag.length} characters, ice-pwd of ${pwd.length}`);
    this.#holds('fingerprint', /^sha-\d+ ([\dA-F]{2}:)+[\dA-F]{2}$/i.test(first('fingerprint') ?? ''), first('fingerprint') ?? 'none');
    const setups = each('setup').filter((setup) => setup !== undefined);
    this.#holds('setup', setups.length > 0 && setups.every((setup) => setup === 'active' || setup === 'passive'), setups.join(', ') || 'none');
    const candidates = [description.session, ...sections].flatMap((section) => section.all('candidate'));
    this.#holds('candidates', candidates.length > 0, `${candidates.length} candidates`);
    const groups = description.session.all('group').filter((group) => group.startsWith('BUNDLE'));
    const bundled = groups.length === 1 && accepted.every((section) => groups[0].split(' ').includes(section.all('mid')[0]));
    this.#holds('bundle', bundled, groups.map((group) => `a=group:${group}`).join(', ') || 'no group');
    this.#holds('rtcp-mux', accepted.every((section) => section.all('rtcp-mux').length > 0), accepted.map((section) => section.all('rtcp-mux').length).join(', '));
    const streams = accepted.map((section) => section.all('msid')[0]?.split(' ')[0]);
    this.#holds('msid', streams.every((stream) => stream !== undefined && stream === streams[0]), streams.map((stream) => stream ?? 'none').join(', '));
  }

  #counterOffer(answer) {
    const counter = new Description(answer.body);
    const sending = counter.accepted.every((section) => ['sendonly', 'sendrecv'].includes(counter.direction(section)));
    const located = URL.canParse(answer.header('location'), answer.url) && answer.header('location') !== '';
    this.#holds('counter-offer', sending && located && counter.sections.length > 0, `${answer}, Location: ${answer.header('location') || 'none'}`);
    this.#report.notTested('created', 'the server counters with an offer of its own, which this suite does not answer');
  }

  // --- Links of the 201 (RFC 9725 sections 4.6 and 4.9)

  #links(answer) {
    const servers = iceServers(answer);
    const unfit = servers.filter(({ target, parameters }) => !isIceServer(target, parameters)).map(({ target }) => target);
    if (servers.length > 0) this.#holds('ice-servers', unfit.length === 0, `unfit: ${unfit.join(', ') || 'none'}`);
    this.#report.notOffered('ice-servers', 'no such Link');
    const extensions = links(answer).filter(({ parameters }) => (parameters.rel ?? '').startsWith('urn:'));
    const strange = extensions.filter(({ target, parameters }) => !parameters.rel.startsWith(`urn:ietf:params:${this.#protocol}:ext`) || !URL.canParse(target, answer.url));
    if (extensions.length > 0) this.#holds('extensions', strange.length === 0, extensions.map(({ parameters }) => parameters.rel).join(', '));
    this.#report.notOffered('extensions', 'no such Link');
  }

  async #serverSentEvents(answer) {
    const of = (name) => links(answer).find(({ parameters }) => parameters.rel === `urn:ietf:params:whep:ext:core:${name}`);
    const [events, layers] = [of('server-sent-events'), of('layer')];
    if (layers) this.#holds('layers', (events?.parameters.events ?? '').split(',').includes('layers'), `events: ${events?.parameters.events ?? 'none'}`);
    this.#report.notOffered('layers', 'no such Link');
    if (events) {
      const stream = await this.#client.request('POST', new URL(events.target, answer.url), { headers: { 'Content-Type': 'application/json' }, body: '["active","inactive"]' });
      this.#holds('server-sent-events', stream.status === 201 && stream.header('location') !== '', `${stream}, Location: ${stream.header('location') || 'none'}`);
    }
    this.#report.notOffered('server-sent-events', 'no such Link');
  }

  // --- ICE and DTLS over UDP

  async #connect(offered, description) {
    if (this.#attempts === 0) return this.#report.notTested(['ice', 'dtls'], 'left out by --no-media');
    const result = await connect(offered, description, this.#attempts);
    if (result.obstacle) return this.#report.notTested(['ice', 'dtls'], result.obstacle);
    this.#holds('ice', result.ice === 'answered', result.ice);
    if (result.dtls === undefined) this.#report.notTested('dtls', result.why);
    else this.#holds('dtls', result.dtls === 'matches', result.dtls);
  }

  // --- PATCH (RFC 9725 section 4.3, WHEP section 4.4). Returns the tag of the ICE session at the end.

  async #ice(session, offered, created, description) {
    const given = created.header('etag');
    const body = fragment(offered.ice, offered);
    const patch = (tag, text = body, more = {}) => this.#client.patch(session, text, { tag, ...more });
    const trickled = await patch(given);
    if ([405, 501].includes(trickled.status)) {
      this.#report.notOffered(['trickle', 'trickle-odd', 'tag-missing', 'tag-stale', 'patch-type', 'patch-malformed', 'etag', ...RESTART], `PATCH: ${trickled}`);
      return given;
    }
    if (trickled.status === 422) {
      this.#report.notOffered(['trickle', 'trickle-odd', 'tag-missing', 'tag-stale'], `${trickled}`);
    } else {
      this.#holds('trickle', trickled.status === 204 && trickled.body === '' && !trickled.header('etag'), `${trickled}, ETag: ${trickled.header('etag') || 'none'}`);
      const odd = await patch(given, fragment(offered.ice, { ...offered, candidates: ODD_CANDIDATES }));
      this.#holds('trickle-odd', odd.status === 204, odd);
      const missing = await patch('');
      this.#holds('tag-missing', missing.status === 428, missing);
      const stale = await patch('"of-another-ice-session"');
      this.#holds('tag-stale', stale.status === 412, stale);
    }
    const wrong = await patch(given, body, { type: 'application/json' });
    this.#holds('patch-type', wrong.refused, wrong);
    const malformed = await patch(given, 'this is no fragment');
    this.#holds('patch-malformed', malformed.refused, malformed);
    return this.#restart({ patch, offered, given, description, trickles: trickled.status === 204 });
  }

  async #restart({ patch, offered, given, description, trickles }) {
    const anew = credentials();
    const refused = await patch('*', fragment({ ufrag: anew.ufrag }, offered));
    const restarted = await patch('*', fragment(anew, offered));
    if (restarted.refused || restarted.status === 501) {
      this.#report.notOffered(RESTART, `${restarted}`);
      this.#report.notOffered('etag', 'without ICE restarts a tag is optional');
      return given;
    }
    this.#holds('restart-refused', refused.status >= 400, refused);
    this.#holds('etag', STRONG_TAG.test(given), `ETag: ${given || 'none'}`);
    const answered = new Description(restarted.body);
    const [ufrag, pwd] = [answered.any('ice-ufrag'), answered.any('ice-pwd')];
    const renewed = ufrag && pwd && ufrag !== description.any('ice-ufrag') && pwd !== description.any('ice-pwd');
    this.#holds('restart', restarted.status === 200 && restarted.type === FRAGMENT && renewed, `${restarted}, credentials ${renewed ? 'renewed' : 'as before, or missing'}`);
    const lite = [description, answered].map((one) => one.any('ice-lite') !== undefined);
    this.#holds('restart-lite', lite[0] === lite[1], lite.map((has) => (has ? 'ice-lite' : 'no ice-lite')).join(', then '));
    const tag = restarted.header('etag');
    this.#holds('restart-tag', STRONG_TAG.test(tag) && tag !== given, `ETag: ${given || 'none'}, then ${tag || 'none'}`);
    if (trickles) {
      const body = fragment(anew, offered);
      const [stale, current] = [await patch(given, body), await patch(tag, body)];
      this.#holds('restart-tag', stale.status === 412, `the earlier tag: ${stale}`);
      this.#holds('restart-tag', current.status === 204, `the new tag: ${current}`);
    }
    return tag;
  }

  // --- DELETE (RFC 9725 section 4.2, WHEP section 4.3)

  async #end(session, tag) {
    const ended = await this.#client.delete(session, { 'If-Match': '"of-another-ice-session"' });
    this.#holds('delete-tag', ![412, 428].includes(ended.status), ended);
    const plain = ended.succeeded ? ended : await this.#client.delete(session);
    this.#holds('delete', plain.succeeded, plain);
    const again = await this.#client.delete(session, tag ? { 'If-Match': tag } : {});
    this.#holds('delete-again', again.refused, again);
  }

  // --- Other offers, and no offers

  /** Opens a session, looks at it and ends it. */
  async #try(offered, options = {}) {
    const answer = await this.#client.post(offered.sdp, options);
    const place = answer.header('location');
    const session = answer.succeeded && place && URL.canParse(place, answer.url) ? new URL(place, answer.url) : undefined;
    if (session) await this.#client.delete(session);
    return { answer, session, description: new Description(answer.body) };
  }

  async #offers() {
    const [one, another] = [await this.#try(this.#offer()), await this.#try(this.#offer())];
    if (one.session && another.session) this.#holds('location-new', one.session.href !== another.session.href, one.session.href);
    const spelled = await this.#try(this.#offer(), { type: 'Application/SDP; charset=utf-8' });
    this.#holds('type-spelling', spelled.answer.succeeded, spelled.answer);
    const both = await this.#try(this.#offer({ direction: 'sendrecv' }));
    const directions = both.description.accepted.map((section) => both.description.direction(section));
    this.#holds('sendrecv', both.answer.succeeded && directions.every((direction) => direction === this.#answering), `${both.answer}: ${directions.join(', ')}`);
    const bundled = await this.#try(this.#offer({ maxBundle: true }));
    const whole = ({ answer, description }) => answer.succeeded && description.sections.every((section) => !section.rejected);
    this.#holds('bundle-only', whole(bundled), `${bundled.answer}, ports ${bundled.description.sections.map(({ port }) => port).join(', ')}`);
    const active = await this.#try(this.#offer({ setup: 'active' }));
    const setup = active.description.any('setup');
    this.#holds('setup-active', active.answer.status === 422 || (active.answer.succeeded && setup === 'passive'), `${active.answer}, setup:${setup}`);
    if (!this.#report.has('two-videos')) return;
    const twice = await this.#try(this.#offer({ kinds: ['audio', 'video', 'video'] }));
    this.#holds('two-videos', twice.answer.refused || whole(twice), twice.answer);
    const unknown = await this.#try(this.#offer({ kinds: ['audio', 'unknown'] }));
    this.#holds('partial', unknown.answer.refused, unknown.answer);
  }

  async #refusals() {
    const { url } = this.#client;
    const got = await this.#client.request('GET', url);
    this.#holds('get-endpoint', got.succeeded && got.body === '', got);
    const put = await this.#client.request('PUT', url, { headers: { 'Content-Type': SDP }, body: this.#offer().sdp });
    const lacksAllow = put.status === 405 && !put.list('allow').includes('post');
    this.#holds('method', put.status === 501 || (put.refused && !lacksAllow), `${put}, Allow: ${put.header('allow') || 'none'}`);
    for (const type of ['application/json', 'text/plain', null]) {
      const { answer } = await this.#try(this.#offer(), { type });
      this.#holds('wrong-type', answer.refused, `${type ?? 'no type'}: ${answer}`);
    }
    let refusal;
    for (const sdp of ['', 'this is no description', 'v=0\r\nm=audio\r\n']) {
      const { answer } = await this.#try({ sdp });
      this.#holds('malformed', answer.refused, `${JSON.stringify(sdp)}: ${answer}`);
      refusal = answer;
    }
    this.#holds('problem', refusal.type === 'application/problem+json', refusal.type || 'no type');
  }

  // --- Bearer tokens (RFC 9725 section 4.7)

  async #bearer() {
    const { answer } = await this.#try(this.#offer(), { token: 'a-token-that-nobody-gave' });
    const closed = [401, 403].includes(answer.status);
    if (!this.#client.token && !closed) return this.#report.notOffered('bearer', `a made-up token: ${answer}`);
    this.#holds('bearer', closed, `a made-up token: ${answer}`);
  }
}

const RESTART = ['restart', 'restart-tag', 'restart-lite', 'restart-refused'];

function iceServers(answer) {
  return links(answer).filter(({ parameters }) => (parameters.rel ?? '').split(' ').includes('ice-server'));
}

function isIceServer(target, { username, credential, 'credential-type': type = 'password' }) {
  if (/^stuns?:[^/?]+$/.test(target)) return true;
  return /^turns?:[^/?]+(\?transport=(udp|tcp))?$/.test(target) && (type !== 'password' || Boolean(username && credential));
}
