// graphql-js as an independent judge of the gate's tests. Run by tests/it/oracle.rs; by hand:
//   node oracle.mjs language        every verdict of ../language_cases.json
//   node oracle.mjs answers         every answer of ../answer_cases.json; with REWRITE=1 it writes them
//   node oracle.mjs introspection   reads an introspection result on stdin and compares it with schema.graphql
// GRAPHQL_MODULES names a folder that holds the npm package graphql (16.15).
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { zoo } from './zoo.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(path.join(process.env.GRAPHQL_MODULES ?? here, 'x.js'));
const graphql = require('graphql');
const { buildSchema, parse, validate, execute, subscribe, buildClientSchema, printSchema, lexicographicSortSchema } = graphql;
const schema = buildSchema(fs.readFileSync(path.join(here, 'schema.graphql'), 'utf8'));
zoo(schema, graphql);

let bad = 0;
const differs = (name, ours, theirs) => { bad += 1; console.log(`DIFFERS ${name}\n  gate       ${JSON.stringify(ours)}\n  graphql-js ${JSON.stringify(theirs)}`); };
const read = (file) => JSON.parse(fs.readFileSync(path.join(here, '..', file), 'utf8'));

function language() {
  const cases = read('language_cases.json');
  for (const { name, document, verdict, oracle } of cases) {
    let theirs = 'valid'; let why = '';
    try { const errors = validate(schema, parse(document)); if (errors.length) { theirs = 'invalid'; why = errors[0].message; } } catch (error) { theirs = 'syntax'; why = error.message; }
    if (theirs !== verdict && !oracle) differs(name, verdict, `${theirs} ${why}`);
    if (theirs === verdict && oracle) differs(`${name}: the note is out of date`, verdict, theirs);
  }
  return cases.length;
}

/** What of a result is compared: data with the order of its keys, paths and codes of errors. Refused requests: the stage alone. */
function comparable(result) {
  if (!('data' in result)) return { refused: true };
  const errors = (result.errors ?? []).map(({ path: at, extensions }) => ({ path: at, code: extensions?.code ?? 'BAD_USER_INPUT' }));
  errors.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  return errors.length ? { data: result.data, errors } : { data: result.data };
}

async function answer({ document, variables, operationName }) {
  let ast;
  try { ast = parse(document); } catch { return { refused: true }; }
  if (validate(schema, ast).length) return { refused: true };
  const args = { schema, document: ast, rootValue: { counter: 0 }, variableValues: variables, operationName };
  if (!/^subscription/.test(document)) return comparable(JSON.parse(JSON.stringify(await execute(args))));
  const stream = await subscribe(args);
  if (!(Symbol.asyncIterator in stream)) return comparable(stream);
  const events = [];
  for await (const event of stream) events.push(comparable(JSON.parse(JSON.stringify(event))));
  return { events };
}

async function answers() {
  const file = path.join(here, '..', 'answer_cases.json'); const cases = read('answer_cases.json');
  for (const one of cases) {
    const theirs = await answer(one);
    if (process.env.REWRITE) one.answer = theirs;
    else if (JSON.stringify(one.answer) !== JSON.stringify(theirs)) differs(one.name, one.answer, theirs);
  }
  if (process.env.REWRITE) fs.writeFileSync(file, `[\n${cases.map((one) => JSON.stringify(one)).join(',\n')}\n]\n`);
  return cases.length;
}

function introspection() {
  const result = JSON.parse(fs.readFileSync(0, 'utf8'));
  const ours = printSchema(lexicographicSortSchema(buildClientSchema(result.data)));
  // Applied directives other than the built-in ones are not part of an introspection.
  const theirs = printSchema(lexicographicSortSchema(schema));
  if (ours !== theirs) {
    const [a, b] = [ours.split('\n'), theirs.split('\n')];
    differs('introspection', a.filter((line) => !b.includes(line)), b.filter((line) => !a.includes(line)));
  }
  return 1;
}

if (process.argv[2] === 'query') {
  console.log(graphql.getIntrospectionQuery({ descriptions: true, specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true, inputValueDeprecation: true, oneOf: true }));
} else {
  const count = await { language, answers, introspection }[process.argv[2]]();
  console.log(`${process.argv[2]}: ${count - bad} of ${count} agree`);
  process.exit(bad ? 1 : 0);
}
