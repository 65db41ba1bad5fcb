// The page that describes the HTTP interface.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { launch, newPage, Server } from './harness.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let server;
let browser;
let described;
/** `get /path` with what the document says of it. */
let operations;
before(async () => {
  server = await Server.start();
  browser = await launch();
  described = await (await fetch(`${server.url}/api/v1/openapi.json`)).json();
  operations = Object.entries(described.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [`${method} ${path}`, operation]));
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** The page, once the document is on it. */
async function opened(options = {}, hash = '') {
  const page = await newPage(browser, options);
  await page.goto(`${server.url}/api${hash}`);
  await page.locator('[data-operation]').last().waitFor();
  return page;
}

const bodySchema = ({ requestBody }) => {
  const reference = requestBody?.content['application/json'].schema.$ref;
  return reference ? described.components.schemas[reference.split('/').at(-1)] : null;
};

test('every operation is there with its parameters, the fields of its body and its answers', async () => {
  const page = await opened();
  await page.getByRole('heading', { level: 1, name: described.info.title }).waitFor();
  await page.getByText(`Version ${described.info.version}`).waitFor();
  const shown = await page.locator('[data-operation]').evaluateAll((all) => all.map((one) => ({
    name: one.dataset.operation,
    heading: one.querySelector('h3').textContent,
    text: one.textContent,
    fields: [...one.querySelectorAll('[data-field]')].map((field) => [field.dataset.field, field.querySelector('.required') !== null]),
    statuses: [...one.querySelectorAll('.fields:last-of-type dt code')].map((status) => status.textContent),
  })));
  assert.ok(operations.length > 5);
  assert.deepEqual(shown.map(({ name }) => name).sort(), operations.map(([name]) => name).sort());
  for (const [name, operation] of operations) {
    const { heading, text, fields, statuses } = shown.find((each) => each.name === name);
    assert.equal(heading.toLowerCase(), name.toLowerCase());
    assert.ok(text.includes(operation.summary), name);
    const body = bodySchema(operation);
    const wanted = [
      ...(operation.parameters ?? []).map((each) => [each.name, each.required]),
      ...Object.keys(body?.properties ?? {}).map((field) => [field, body.required?.includes(field) ?? false]),
    ];
    assert.deepEqual(fields.sort(), wanted.sort(), name);
    assert.deepEqual(statuses.filter((status) => /^\d{3}$/.test(status)).sort(), Object.keys(operation.responses).sort(), name);
    assert.equal(text.includes('A key is needed.'), operation.security.length > 0 && operation.security.every((way) => 'bearer' in way), name);
  }
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('every link of the page leads somewhere, and an address with an anchor goes there', async () => {
  const page = await opened({}, '#get-api-v1-invitations-id-qr-svg');
  const astray = await page.locator('a[href^="#"]').evaluateAll((links) =>
    links.map((link) => link.getAttribute('href')).filter((href) => !document.getElementById(href.slice(1))));
  assert.deepEqual(astray, []);
  const ids = await page.locator('[id]').evaluateAll((all) => all.map(({ id }) => id));
  assert.equal(new Set(ids).size, ids.length);
  const listed = await page.getByRole('navigation', { name: 'Contents' }).getByRole('link').count();
  assert.equal(listed, operations.length + Object.keys(described.components.schemas).length);
  const top = await page.locator('#get-api-v1-invitations-id-qr-svg').evaluate((heading) => heading.getBoundingClientRect().top);
  assert.ok(top >= 0 && top < 720, `the heading is at ${top}`);
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

/** What a shell makes of an example: the words that `curl` is given. */
function wordsOf(command) {
  const script = `curl() { printf '%s\\n' "$@"; }\n${command}`;
  return execFileSync('sh', ['-c', script], { encoding: 'utf8', env: { ...process.env, KEY: 'vsk_example' } }).trimEnd().split('\n');
}

const following = (words, flag) => words.flatMap((word, index) => (words[index - 1] === flag ? [word] : []));

test('every example asks for its operation, and that of a booking books a meeting', async () => {
  const page = await opened();
  const examples = await page.locator('[data-operation]').evaluateAll((all) =>
    all.map((one) => [one.dataset.operation, one.querySelector('pre').textContent]));
  await page.context().close();
  assert.ok(described.paths['/api/v1/meetings/{id}'].patch.parameters.some(({ name, required }) => name === 'If-Match' && required));
  for (const [name, command] of examples) {
    const [method, path] = name.split(' ');
    const words = wordsOf(command);
    const url = words.find((word) => word.startsWith(server.url));
    assert.equal(url, server.url + path.replace(/\{(\w+)\}/g, (_, value) => value.toUpperCase()));
    assert.equal(following(words, '-X')[0] ?? 'GET', method.toUpperCase());
    const headers = following(words, '-H');
    const operation = described.paths[path][method];
    assert.equal(headers.includes('Authorization: Bearer vsk_example'), operation.security.length > 0, name);
    const isConditional = (operation.parameters ?? []).some((parameter) => parameter.name === 'If-Match' && parameter.required);
    assert.equal(headers.includes('If-Match: "1"'), isConditional, name);
    for (const field of bodySchema(operation)?.required ?? []) assert.ok(field in JSON.parse(following(words, '-d')[0]), name);
    if (name !== 'post /api/v1/meetings') continue;
    const reply = await fetch(url, { method, headers: { 'Content-Type': 'application/json' }, body: following(words, '-d')[0] });
    assert.equal(reply.status, 201);
  }
});

for (const [colorScheme, viewport] of [
  ['light', { width: 1280, height: 800 }],
  ['dark', { width: 390, height: 844 }],
]) {
  test(`axe finds nothing, ${colorScheme}, ${viewport.width} wide, and nothing is wider than the window`, async () => {
    // axe is put in by the test, which the page's own policy rightly forbids.
    const page = await opened({ colorScheme, viewport, bypassCSP: true, reducedMotion: 'reduce' });
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= viewport.width, `${width} wide`);
    await page.locator('summary').first().click();
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() =>
      window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join('; ')}`);
    assert.deepEqual(found, []);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });
}

test('a server that does not answer is reported', async () => {
  const page = await newPage(browser);
  await page.route('**/api/v1/openapi.json', (route) => route.fulfill({ status: 503 }));
  await page.goto(`${server.url}/api`);
  await page.getByRole('status').getByText('The server does not answer').waitFor();
  await page.context().close();
});
