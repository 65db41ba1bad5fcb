/**
 * The part of an OpenAPI 3.1 document that the page shows.
 *
 * @typedef {object} Schema
 * @property {string} [$ref]
 * @property {string | string[]} [type]
 * @property {string} [format]
 * @property {string} [description]
 * @property {Record<string, Schema>} [properties]
 * @property {string[]} [required]
 * @property {Schema} [items]
 * @property {Schema[]} [oneOf]
 * @property {unknown[]} [enum]
 * @property {unknown} [default]
 * @property {string} [pattern]
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {number} [minLength]
 * @property {number} [maxLength]
 * @property {number} [minItems]
 * @property {number} [maxItems]
 *
 * @typedef {Record<string, {schema?: Schema}>} Content by media type
 * @typedef {{name: string, in: string, required?: boolean, description?: string, schema?: Schema}} Parameter
 * @typedef {{$ref?: string, description?: string, content?: Content}} Answer
 *
 * @typedef {object} Described an operation as the document has it
 * @property {string} [summary]
 * @property {string} [description]
 * @property {string[]} [tags]
 * @property {Parameter[]} [parameters]
 * @property {{required?: boolean, content: Content}} [requestBody]
 * @property {Record<string, Answer>} responses by status
 * @property {Record<string, string[]>[]} [security]
 *
 * @typedef {object} OpenApi
 * @property {string} openapi
 * @property {{title: string, version: string, description?: string}} info
 * @property {Record<string, Record<string, Described>>} paths
 * @property {{schemas?: Record<string, Schema>, responses?: Record<string, Answer>, securitySchemes?: Record<string, {description?: string}>}} [components]
 *
 * @typedef {Described & {method: string, path: string}} Operation
 * @typedef {'none' | 'optional' | 'needed'} Key whether an operation wants a key
 */

const METHODS = ['get', 'post', 'put', 'patch', 'delete', 'head', 'options', 'trace'];

/** Example values by name; any other name is shown in capitals. */
const EXAMPLES = new Map(Object.entries({
  title: 'Standup',
  timeZone: 'Europe/Berlin',
  durationMinutes: 30,
  'If-Match': '"1"',
  ttlSeconds: 3600,
  topology: 'auto',
}));

/**
 * The operations in groups: by their tag, or by the first path segment after the version.
 *
 * @param {OpenApi} document
 * @returns {Map<string, Operation[]>}
 */
export function groupsOf({ paths }) {
  /** @type {Map<string, Operation[]>} */
  const groups = new Map();
  for (const [path, described] of Object.entries(paths)) {
    const group = path.replace(/^\/api\/v\d+/, '').split('/')[1] ?? path;
    for (const method of METHODS) {
      const operation = described[method];
      if (!operation) continue;
      const name = operation.tags?.[0] ?? group;
      groups.set(name, [...groups.get(name) ?? [], { ...operation, method, path }]);
    }
  }
  return groups;
}

/** @param {Operation} operation */
export const anchorOf = ({ method, path }) => `${method}${path}`.replace(/[^A-Za-z0-9]+/g, '-').replace(/-$/, '');

/** @param {Described} operation @returns {Key} */
export function keyOf({ security = [] }) {
  if (security.length === 0) return 'none';
  return security.some((way) => Object.keys(way).length === 0) ? 'optional' : 'needed';
}

/** The name of the schema that a reference leads to. @param {Schema} schema */
export const referenceOf = (schema) => schema.$ref?.split('/').at(-1);

/**
 * A schema, or the one that it refers to.
 *
 * @param {OpenApi} document
 * @param {Schema} schema
 * @returns {Schema}
 */
export function resolved(document, schema) {
  const name = referenceOf(schema);
  return name === undefined ? schema : document.components?.schemas?.[name] ?? {};
}

/**
 * An answer, or the one that it refers to.
 *
 * @param {OpenApi} document
 * @param {Answer} answer
 * @returns {Answer}
 */
export const resolvedAnswer = (document, answer) =>
  answer.$ref ? document.components?.responses?.[answer.$ref.split('/').at(-1) ?? ''] ?? {} : answer;

/**
 * A command that calls an operation: with required parameters, and with a key if one is accepted.
 *
 * @param {OpenApi} document
 * @param {Operation} operation
 * @param {string} origin of the server
 */
export function commandFor(document, operation, origin) {
  const required = (operation.parameters ?? []).filter((parameter) => parameter.required);
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name) => String(sample(name)));
  const query = required.filter((each) => each.in === 'query').map(({ name }) => `${name}=${encodeURIComponent(String(sample(name)))}`);
  const lines = [`curl${operation.method === 'get' ? '' : ` -X ${operation.method.toUpperCase()}`} ${quoted(origin + path + (query.length > 0 ? `?${query.join('&')}` : ''))}`];
  if (keyOf(operation) !== 'none') lines.push('-H "Authorization: Bearer $KEY"');
  for (const { name } of required.filter((each) => each.in === 'header')) lines.push(`-H ${quoted(`${name}: ${sample(name)}`)}`);
  const [kind, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (kind && content?.schema) {
    lines.push(`-H ${quoted(`Content-Type: ${kind}`)}`, `-d ${quoted(JSON.stringify(bodyOf(resolved(document, content.schema))))}`);
  }
  return lines.join(' \\\n  ');
}

/**
 * The required fields of a body; if there are none, one field.
 *
 * @param {Schema} schema
 */
function bodyOf({ properties = {}, required = [] }) {
  const one = Object.keys(properties).find((name) => EXAMPLES.has(name));
  const names = required.length > 0 || one === undefined ? required : [one];
  return Object.fromEntries(names.map((name) => [name, sample(name)]));
}

/** @param {string} name */
const sample = (name) => EXAMPLES.get(name) ?? name.toUpperCase();

/** Quotes a text as one word of a shell. @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
