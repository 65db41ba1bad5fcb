// The rules that the suite checks: each with its section in RFC 9725 (WHIP) and in the WHEP draft, its level, and what is
// expected. A section of `null` means that the document has no such rule.

export const DOCUMENTS = { whip: 'RFC 9725', whep: 'draft-ietf-wish-whep-03' };

const ROWS = [
  // HTTP usage
  ['get-endpoint', '4.1', '4.1', 'MUST', 'GET of the endpoint is answered 2xx without content'],
  ['get-session', '4.1', '4.1', 'MUST', 'GET of a session is answered 2xx without content'],
  ['method', '4.1', '4.1', 'MUST', 'PUT of the endpoint is refused; a 405 has an Allow with POST (RFC 9110 section 15.5.6)'],
  ['problem', '4.1', '4.1', 'MAY', 'a refusal explains itself as application/problem+json (RFC 9457)'],
  // Session setup
  ['created', '4.2', '4.2', 'MUST', 'a valid offer is answered 201'],
  ['location', '4.2', '4.2', 'MUST', 'the 201 has a Location, absolute or relative, other than the endpoint'],
  ['location-new', '4.2', '4.2', 'MUST', 'every session has a Location of its own'],
  ['answer-type', '4.2', '4.2', 'MUST', 'the 201 has the Content-Type application/sdp'],
  ['type-spelling', '4.2', '4.2', 'MUST', 'the media type of an offer is compared without case and parameters (RFC 9110 section 8.3.1)'],
  ['wrong-type', '4.2', '4.2', 'MUST', 'an offer of another Content-Type is refused with 4xx'],
  ['malformed', '4.2', '4.2', 'MUST', 'a malformed offer is refused with 4xx'],
  ['counter-offer', null, '4.2', 'MUST', 'a 406 that carries an offer has the Content-Type application/sdp, a Location, and sends only'],
  ['not-live', null, '4.2', 'MUST', 'a 409, for a stream that nobody publishes, has a Retry-After'],
  // The answer
  ['sections', '4.2', '4.2', 'MUST', 'the answer has the sections of the offer, in their order (RFC 9429 section 5.3.1)'],
  ['mids', '4.2', '4.2', 'MUST', 'the answer has the mids of the offer (RFC 9429 section 5.3.1)'],
  ['formats', '4.2', '4.2', 'MUST', 'each accepted section has only formats of the offer, and at least one (RFC 3264 section 6.1)'],
  ['direction', '4.2', '4.2', 'MUST', 'the answer is recvonly (WHIP) or sendonly (WHEP)'],
  ['sendrecv', '4.2', '4.2', 'MUST', 'an offer that is sendrecv is answered in one direction'],
  ['credentials', '4.2', '4.2', 'MUST', 'the answer has an ice-ufrag and an ice-pwd of the lengths of RFC 8839 section 5.4'],
  ['fingerprint', '4.2', '4.2', 'MUST', 'the answer has a fingerprint (RFC 8122 section 5)'],
  ['setup', '4.2', '4.2', 'MUST', 'an offer of setup:actpass is answered active or passive (RFC 8842 section 5.3)'],
  // Termination
  ['delete', '4.2', '4.3', 'MUST', 'DELETE of a session is answered 2xx, as 200 in section 3'],
  ['delete-again', '4.2', '4.3', 'MUST', 'a session that was ended is gone: the next DELETE is refused with 4xx'],
  ['delete-tag', '4.3.1', '4.4.1', 'MUST', 'DELETE ignores If-Match'],
  // OPTIONS
  ['options', '4.2', '4.3', 'MUST', 'OPTIONS of the endpoint is answered 2xx, as 200 in the text'],
  ['accept-post', '4.2', '4.3', 'SHOULD', 'the answer to OPTIONS has Accept-Post: application/sdp'],
  ['preflight', '4.2', '4.3', 'MUST', 'a preflight of the endpoint, without a token, lets the origin send an offer (Fetch)'],
  ['preflight-session', '4.2', '4.3', 'MUST', 'a preflight of the session lets the origin PATCH and DELETE (Fetch)'],
  ['exposed', '4.2', '4.3', 'SHOULD', 'pages of the origin can read Location, ETag and Link of the 201 (Fetch)'],
  // ICE
  ['candidates', '4.3.2', '4.4.2', 'MUST', 'the answer has all candidates of the server: at least one'],
  ['etag', '4.3.1', '4.4.1', 'MUST', 'a server with ICE restarts gives a strong ETag with the 201'],
  ['trickle', '4.3.2', '4.4.2', 'MUST', 'candidates by PATCH are answered 204, without content and without ETag'],
  ['trickle-odd', '4.3.2', '4.4.2', 'MUST', 'candidates that the server cannot use are silently discarded: 204'],
  ['tag-missing', '4.3.1', '4.4.1', 'MUST', 'PATCH without If-Match is answered 428'],
  ['tag-stale', '4.3.1', '4.4.1', 'MUST', 'PATCH with an ETag of another ICE session is answered 412'],
  ['patch-type', '4.3.1', '4.4.1', 'MUST', 'PATCH of another Content-Type is refused with 4xx'],
  ['patch-malformed', '4.3.1', '4.4.1', 'MUST', 'PATCH with a malformed fragment is refused with 4xx'],
  ['restart', '4.3.3', '4.4.3', 'MUST', 'new credentials with If-Match: * are answered 200, with a fragment that has new credentials of the server'],
  ['restart-tag', '4.3.3', '4.4.3', 'MUST', 'the answer to an ICE restart has a new strong ETag, and the earlier one is answered 412'],
  ['restart-lite', '4.3.3', '4.4.3', 'MUST', 'the answer to an ICE restart has ice-lite if the answer to the offer has it, and not otherwise'],
  ['restart-refused', '4.3.3', '4.4.3', 'MUST', 'an ICE restart without a password is refused, and the session goes on'],
  // Constraints on WebRTC
  ['bundle', '4.4.1', '4.5.1', 'MUST', 'all accepted sections of the answer are in one BUNDLE group, that of the offer'],
  ['bundle-only', '4.4.1', '4.5.1', 'MUST', 'an offer by the policy max-bundle is accepted: later sections have port 0 and bundle-only (RFC 9429 section 4.1.1)'],
  ['rtcp-mux', '4.4.1', '4.5.1', 'MUST', 'all accepted sections of the answer have rtcp-mux'],
  ['msid', null, '4.5.2', 'MUST', 'all sections of the answer are of one MediaStream: the msid has the same first word'],
  ['two-videos', '4.4.2', null, 'MUST', 'an offer of two videos is accepted whole, or refused with 4xx'],
  ['partial', '4.4.3', null, 'SHOULD', 'an offer is refused with 4xx if one of its sections cannot be accepted'],
  ['setup-active', '4.4.4', null, 'SHOULD', 'an offer of setup:active is answered passive, or refused with 422'],
  // Redirections and load
  ['redirect', '4.5', '4.6', 'MUST', 'POST is redirected by 307 or 308, never by 301 or 302'],
  ['retry-after', '4.5', '4.6', 'MAY', 'a 503 has a Retry-After'],
  // STUN and TURN servers
  ['ice-servers', '4.6', '4.7', 'MUST', 'Links with rel=ice-server are stun or turn URIs (RFC 7064, RFC 7065); those of TURN have username and credential'],
  ['ice-servers-preflight', '4.6', null, 'SHOULD', 'the answer to a preflight has no Links with rel=ice-server'],
  // Authentication
  ['bearer', '4.7.1', '4.8.1', 'MUST', 'a wrong bearer token is refused with 401 or 403'],
  ['challenge', '4.7', '4.8', 'MUST', 'a 401 has a WWW-Authenticate that names Bearer (RFC 9110 section 11.6.1)'],
  // Extensions
  ['extensions', '4.9', '4.9', 'MUST', 'each extension has a Link, whose rel begins with the prefix of the protocol'],
  ['server-sent-events', null, '4.9.1', 'MUST', 'POST of a list of events to the link is answered 201 with a Location'],
  ['layers', null, '4.9.2', 'MUST', 'who offers layers offers the event `layers`, too'],
  // Media
  ['ice', '3', '3', 'MUST', 'a candidate of the answer answers a connectivity check with the credentials of the answer (RFC 8445 section 7.3)'],
  ['dtls', '3', '3', 'MUST', 'the certificate of the DTLS handshake has the fingerprint of the answer (RFC 8122 section 5)'],
];

/** The rules of a protocol by id, in the order of the report. */
export function rulesOf(protocol) {
  const column = protocol === 'whip' ? 1 : 2;
  const rules = ROWS.filter((row) => row[column] !== null);
  return new Map(rules.map((row) => [row[0], { id: row[0], section: row[column], level: row[3], expected: row[4] }]));
}
