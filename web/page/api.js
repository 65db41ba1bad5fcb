import { h, setText } from './base/dom.js';
import { loadCatalogue, t } from './base/i18n.js';
import { anchorOf, commandFor, groupsOf, keyOf, referenceOf, resolved, resolvedAnswer } from './api/openapi.js';
import { at } from './base/root.js';

/** @typedef {import('./api/openapi.js').OpenApi} OpenApi */
/** @typedef {import('./api/openapi.js').Operation} Operation */
/** @typedef {import('./api/openapi.js').Schema} Schema */
/** @typedef {import('./api/openapi.js').Content} Content */

const DOCUMENT = at('api/v1/openapi.json');
const KEYS = { none: 'api.keyNone', optional: 'api.keyOptional', needed: 'api.keyNeeded' };
/** An enumeration of more values than this is collapsed. */
const FEW = 8;

const contents = /** @type {HTMLElement} */ (document.getElementById('contents'));
const title = /** @type {HTMLElement} */ (document.getElementById('title'));
const note = /** @type {HTMLElement} */ (document.getElementById('note'));
const about = /** @type {HTMLElement} */ (document.getElementById('about'));
const operations = /** @type {HTMLElement} */ (document.getElementById('operations'));

/** A text of the OpenAPI document, which is in English in every language of the page. @param {string | undefined} text */
const said = (text) => text ? h('span', { lang: 'en', dir: 'ltr' }, text) : null;

/** @param {...(Node | string)} parts */
const code = (...parts) => h('code', { dir: 'ltr' }, ...parts);

/** @param {string} text */
const commands = (text) => h('pre', { dir: 'ltr' }, h('code', {}, text));

/** @param {string} method */
const badge = (method) => h('span', { class: 'method', 'data-method': method }, method.toUpperCase());

/** @param {string} name */
const schemaAnchor = (name) => `schema-${name}`;

/** @param {string} name */
const capitalised = (name) => name.charAt(0).toUpperCase() + name.slice(1);

/**
 * The type of a schema; a named one links to its fields.
 *
 * @param {Schema} schema
 * @returns {(Node | string)[]}
 */
function typeOf(schema) {
  const name = referenceOf(schema);
  if (name) return [h('a', { href: `#${schemaAnchor(name)}` }, name)];
  if (schema.oneOf) return schema.oneOf.flatMap((each, index) => [index > 0 ? ' | ' : '', ...typeOf(each)]);
  const types = [schema.type ?? 'any'].flat();
  return types.flatMap((type, index) => [
    index > 0 ? ' | ' : '',
    ...(type === 'array' && schema.items ? [...typeOf(schema.items), '[]'] : [type]),
  ]);
}

/**
 * `1–64`, `≥ 1` or `≤ 100`, kept together from left to right in any text.
 *
 * @param {number | undefined} least
 * @param {number | undefined} most
 */
function range(least, most) {
  if (least === undefined && most === undefined) return '';
  const written = least === undefined ? `≤ ${most}` : most === undefined ? `≥ ${least}` : `${least}–${most}`;
  return `\u2066${written}\u2069`;
}

/** The values that a schema allows. @param {Schema} schema @returns {Node[]} */
function limitsOf(schema) {
  const numbers = range(schema.minimum, schema.maximum);
  const characters = range(schema.minLength, schema.maxLength);
  const entries = range(schema.minItems, schema.maxItems);
  const values = schema.enum?.map(String) ?? [];
  const facts = [
    schema.format && code(schema.format),
    numbers && h('span', {}, numbers),
    characters && h('span', {}, t('api.characters', { range: characters })),
    entries && h('span', {}, t('api.entries', { range: entries })),
    schema.default !== undefined && h('span', {}, t('api.default', { value: String(schema.default) })),
  ].filter((fact) => fact instanceof Node);
  const listed = h('span', { class: 'values' }, ...values.flatMap((value) => [code(value), ' ']));
  return [
    ...(facts.length > 0 ? [h('p', { class: 'facts' }, ...facts)] : []),
    ...(values.length > FEW ? [folded(t('api.oneOfMany', { number: values.length }), listed)] : []),
    ...(values.length > 0 && values.length <= FEW ? [h('p', {}, t('api.oneOf'), ' ', listed)] : []),
    ...(schema.pattern ? [folded(t('api.pattern'), code(schema.pattern))] : []),
  ];
}

/** @param {string} summary @param {Node} content */
const folded = (summary, content) => h('details', {}, h('summary', {}, summary), content);

/**
 * One line of parameters or of fields.
 *
 * @param {{name: string, schema: Schema, required: boolean, place?: string, description?: string}} field
 */
const field = ({ name, schema, required, place, description = schema.description }) => [
  h('dt', { 'data-field': name },
    code(h('b', {}, name)),
    h('code', { class: 'type', dir: 'ltr' }, ...typeOf(schema)),
    place !== undefined && h('span', { class: 'soft' }, place),
    required && h('span', { class: 'required' }, t('api.required'))),
  h('dd', {}, description ? h('p', {}, said(description)) : null, ...limitsOf(schema)),
];

/** @param {Schema} schema */
function fieldsOf({ properties = {}, required = [] }) {
  const all = Object.entries(properties);
  if (all.length === 0) return null;
  // Required ones come first, in the document's order.
  const ordered = [...all.filter(([name]) => required.includes(name)), ...all.filter(([name]) => !required.includes(name))];
  return h('dl', { class: 'fields' }, ...ordered.flatMap(([name, schema]) => field({ name, schema, required: required.includes(name) })));
}

/** @param {Operation} operation */
function parametersOf({ parameters = [] }) {
  if (parameters.length === 0) return [];
  const fields = parameters.flatMap(({ name, in: place, required = false, description, schema = {} }) =>
    field({ name, schema, required, description, place: t(PLACES[/** @type {keyof typeof PLACES} */ (place)] ?? place) }));
  return [h('h4', {}, t('api.parameters')), h('dl', { class: 'fields' }, ...fields)];
}

const PLACES = { path: 'api.inPath', query: 'api.inQuery', header: 'api.inHeader', cookie: 'api.inCookie' };

/** @param {Content | undefined} content */
const kindsOf = (content) => Object.entries(content ?? {}).flatMap(([kind, { schema }]) =>
  [' ', code(...(schema ? typeOf(schema) : [])), ' ', h('span', { class: 'soft', dir: 'ltr' }, kind)]);

/** @param {OpenApi} api @param {Operation} operation */
function bodyOf(api, { requestBody }) {
  if (!requestBody) return [];
  const schemas = Object.values(requestBody.content).flatMap(({ schema }) => schema ?? []);
  return [
    h('h4', {}, t('api.body')),
    h('p', {}, ...kindsOf(requestBody.content)),
    ...schemas.map((schema) => fieldsOf(resolved(api, schema))).filter((fields) => fields !== null),
  ];
}

/** Answers that differ only in the status share one line. @param {OpenApi} api @param {Operation} operation */
function answersOf(api, { responses }) {
  /** @type {Map<string, string[]>} */
  const alike = new Map();
  for (const [status, answer] of Object.entries(responses)) {
    const key = JSON.stringify(answer);
    alike.set(key, [...alike.get(key) ?? [], status]);
  }
  const lines = [...alike].flatMap(([key, statuses]) => {
    const { description, content } = resolvedAnswer(api, JSON.parse(key));
    return [
      h('dt', {}, ...statuses.flatMap((status) => [code(status), ' '])),
      h('dd', {}, h('p', {}, said(description), ...kindsOf(content))),
    ];
  });
  return [h('h4', {}, t('api.answers')), h('dl', { class: 'fields' }, ...lines)];
}

/** @param {OpenApi} api @param {Operation} operation */
function shown(api, operation) {
  const anchor = anchorOf(operation);
  return h('article', { class: 'operation', 'data-operation': `${operation.method} ${operation.path}` },
    h('h3', { id: anchor }, h('a', { href: `#${anchor}` }, badge(operation.method), ' ', code(operation.path))),
    h('p', { class: 'summary' }, said(operation.summary)),
    operation.description ? h('p', {}, said(operation.description)) : null,
    h('p', { class: 'soft' }, t(KEYS[keyOf(operation)])),
    ...parametersOf(operation),
    ...bodyOf(api, operation),
    ...answersOf(api, operation),
    h('h4', {}, t('api.example')),
    commands(commandFor(api, operation, location.origin)));
}

/** @param {string} name @param {Schema} schema */
const shownSchema = (name, schema) => h('article', { class: 'operation' },
  h('h3', { id: schemaAnchor(name) }, h('a', { href: `#${schemaAnchor(name)}` }, code(name))),
  schema.description ? h('p', {}, said(schema.description)) : null,
  fieldsOf(schema),
  ...(schema.properties ? [] : limitsOf(schema)));

/** @param {OpenApi} api */
function showAbout({ info, components }) {
  title.replaceChildren(said(info.title) ?? '');
  document.title = `${info.title}: ${t('api.title')}`;
  const schemes = Object.values(components?.securitySchemes ?? {});
  about.append(
    h('p', { class: 'lead' }, said(info.description)),
    h('p', {}, t('api.version', { version: info.version }), ' · ', h('a', { href: DOCUMENT }, t('api.document'))),
    h('h2', { id: 'keys' }, t('api.who')),
    ...schemes.map(({ description }) => h('p', {}, code('Authorization: Bearer …'), ' ', said(description))),
    h('p', {}, t('api.makeKey')),
    commands('visavis api-key create --scope meetings:write'));
}

/** @param {string} heading @param {[string, ...(Node | string)[]][]} links each an anchor and its text */
const listed = (heading, links) => [
  h('h3', {}, heading),
  h('ul', {}, ...links.map(([anchor, ...text]) => h('li', {}, h('a', { href: `#${anchor}` }, ...text)))),
];

/** @param {OpenApi} api */
function show(api) {
  showAbout(api);
  contents.hidden = false;
  for (const [name, group] of groupsOf(api)) {
    const anchor = `group-${name}`;
    operations.append(h('section', { 'aria-labelledby': anchor },
      h('h2', { id: anchor, lang: 'en' }, capitalised(name)),
      ...group.map((operation) => shown(api, operation))));
    contents.append(...listed(capitalised(name), group.map((operation) =>
      [anchorOf(operation), badge(operation.method), ' ', said(operation.summary) ?? operation.path])));
  }
  const schemas = Object.entries(api.components?.schemas ?? {});
  operations.append(h('section', { 'aria-labelledby': 'schemas' },
    h('h2', { id: 'schemas' }, t('api.schemas')),
    ...schemas.map(([name, schema]) => shownSchema(name, schema))));
  contents.append(...listed(t('api.schemas'), schemas.map(([name]) => [schemaAnchor(name), code(name)])));
}

await loadCatalogue();
document.title = `Visavis: ${t('api.title')}`;
try {
  const response = await fetch(DOCUMENT);
  if (!response.ok) throw new Error(`answered with ${response.status}`);
  show(await response.json());
  // The anchor did not exist yet when the browser looked for it.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
} catch {
  setText(note, t('api.unreachable'));
}
