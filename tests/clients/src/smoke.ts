// Smoke tests of the clients beside this file against the server at BASE_URL, with tokens signed by PLIMSOLL_JWT_SECRET.
import { createHmac, randomUUID } from 'node:crypto';
import { pipe, subscribe as listen } from 'wonka';
import { WebSocket } from 'ws';
import { apollo } from './apollo.js';
import { AlertsDocument, JobsDocument, MachinesDocument, MetricsDocument, ViewerDocument } from './gql/graphql.js';
import { connect, followJobs, stay } from './socket.js';
import { streamMetrics } from './stream.js';
import { urql } from './urql.js';

const base = process.env.BASE_URL ?? 'http://127.0.0.1:8000';
const secret = process.env.PLIMSOLL_JWT_SECRET ?? '';
const [url, wsUrl] = [`${base}/graphql`, `${base.replace(/^http/, 'ws')}/graphql`];
/** How long anything may take to arrive. */
const ARRIVE_MAX_MS = 20_000;
/** Tokens count for so much longer than they say. */
const LEEWAY_S = 5;

function mint(roles: string[], livesS = 3_600): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: 'smoke', roles, exp: Math.floor(Date.now() / 1000) + livesS })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}
const td = async () => mint(['PIPELINE_TD']);
/** A token that expires in two seconds, and then one that lasts. */
function shortLived(): { token: () => Promise<string>; count: () => number } {
  let count = 0;
  return { token: async () => (count++ === 0 ? mint(['PIPELINE_TD'], 2 - LEEWAY_S) : mint(['PIPELINE_TD'])), count: () => count };
}

async function ingest(event: Record<string, unknown>): Promise<void> {
  const headers = { authorization: `Bearer ${mint(['INGEST'])}`, 'content-type': 'application/x-ndjson' };
  const answer = await fetch(`${base}/ingest`, { method: 'POST', headers, body: JSON.stringify({ id: randomUUID(), ...event }) });
  const { accepted } = (await answer.json()) as { accepted: number };
  if (answer.status !== 200 || accepted !== 1) throw new Error(`not accepted: ${answer.status}`);
}
const at = (fromNowMs: number) => new Date(Date.now() + fromNowMs).toISOString();
const execution = () =>
  ingest({ type: 'execution', model: 'sdxl', modelVersion: '1.0', user: 'ada', startedAt: at(-500), finishedAt: at(-1), outcome: 'SUCCEEDED' });
const job = (name: string) => ingest({ type: 'job', job: name, at: at(-1_000), state: 'QUEUED', model: 'sdxl', modelVersion: '1.0' });

/** Waits for what `begin` hands to `done`. */
function arrives<T>(begin: (done: (value: T) => void, failed: (reason: unknown) => void) => () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    let leave = () => {};
    const timer = setTimeout(() => end(() => reject(new Error('nothing arrived in time'))), ARRIVE_MAX_MS);
    const end = (how: () => void) => { clearTimeout(timer); setImmediate(() => leave()); how(); };
    leave = begin((value) => end(() => resolve(value)), (reason) => end(() => reject(reason instanceof Error ? reason : new Error(JSON.stringify(reason)))));
  });
}
/** Waits for a number of executions beyond the first one told, sending one whenever one has come. */
function threeMore(begin: (heard: (executions: number) => void, failed: (reason: unknown) => void) => () => void): Promise<void> {
  let first: number | undefined;
  return arrives<void>((done, failed) => begin((executions) => {
    first ??= executions;
    if (executions >= first + 3) done(); else execution().catch(failed);
  }, failed));
}
function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const variables = { trailingSeconds: 3_600 };
const tests: Record<string, () => Promise<void>> = {
  async 'graphql-ws: figures, while they change'() {
    const client = connect(wsUrl, td, WebSocket);
    await threeMore((heard, failed) => stay(client, MetricsDocument, variables, (data) => heard(data.executionMetrics.total.executions), failed));
    await client.dispose();
  },
  async 'graphql-ws: machines and alerts'() {
    await ingest({ type: 'vmState', vm: 'smoke', at: at(-2_000), state: 'RUNNING' });
    const client = connect(wsUrl, async () => mint(['ADMIN']), WebSocket);
    const leave = stay(client, AlertsDocument, { after: null }, () => {}, () => {});
    await arrives<void>((done, failed) => stay(client, MachinesDocument, {}, ({ vmUtilization }) => {
      if (vmUtilization.some(({ vm, cpuRatio }) => vm.name === 'smoke' && cpuRatio === 0.5)) done();
      else ingest({ type: 'vmSample', id: undefined, vm: 'smoke', at: at(-1), intervalSeconds: 5, cpuRatio: 0.5 }).catch(failed);
    }, failed));
    leave();
    await client.dispose();
  },
  async 'graphql-ws: a token that expires is followed by the next one'() {
    const { token, count } = shortLived();
    const client = connect(wsUrl, token, WebSocket);
    await arrives<void>((done, failed) => stay(client, MetricsDocument, variables, () => { if (count() === 2) done(); }, failed));
    await client.dispose();
  },
  async 'graphql-ws: changes of jobs, each once, over connections that break'() {
    const client = connect(wsUrl, td, WebSocket);
    const names = Array.from({ length: 12 }, (_, place) => `job ${place} ${randomUUID()}`);
    let sent = 0;
    const heard: string[] = [];
    // The first is sent until it is heard of: the subscription has begun by then.
    const probe = `probe ${randomUUID()}`;
    let probes = 0;
    const more = () => job(`${probe} ${probes++}`);
    const timer = setInterval(() => void more(), 500);
    await arrives<void>((done, failed) => followJobs(client, null, ({ node }) => {
      clearInterval(timer);
      if (names.includes(node.key)) heard.push(node.key);
      if (heard.length === names.length) return done();
      if (node.key.startsWith(probe) && sent > 0) return;
      const place = sent++;
      if (place >= names.length) return;
      if (place % 3 === 2) client.terminate();
      job(names[place] ?? '').catch(failed);
    }, failed));
    check(JSON.stringify(heard) === JSON.stringify(names), `each once and in order: ${heard}`);
    await client.dispose();
  },
  async 'graphql-sse: figures, also after the token has expired'() {
    const { token, count } = shortLived();
    await arrives<void>((done, failed) => streamMetrics(url, token, () => { if (count() === 2) done(); }, failed));
    await threeMore((heard, failed) => streamMetrics(url, td, (metrics) => heard(metrics.total.executions), failed));
  },
  async 'Apollo Client: a query and a subscription'() {
    const socket = connect(wsUrl, td, WebSocket);
    const client = apollo(url, td, socket);
    const { data } = await client.query({ query: ViewerDocument });
    check(data?.viewer.subject === 'smoke', 'the viewer');
    await threeMore((heard, failed) => {
      const subscription = client.subscribe({ query: MetricsDocument, variables }).subscribe({
        next: ({ data, error }) => (data ? heard(data.executionMetrics.total.executions) : failed(error)),
        error: failed,
      });
      return () => subscription.unsubscribe();
    });
    client.stop();
    await socket.dispose();
  },
  async 'urql: a query, and subscriptions over sockets and event streams'() {
    const socket = connect(wsUrl, td, WebSocket);
    for (const client of [urql(url, await td(), socket), urql(url, await td())]) {
      const { data, error } = await client.query(ViewerDocument, {}).toPromise();
      check(data?.viewer.subject === 'smoke', `the viewer: ${error}`);
      await threeMore((heard, failed) => pipe(
        client.subscription(MetricsDocument, variables),
        listen(({ data, error }) => (data ? heard(data.executionMetrics.total.executions) : failed(error))),
      ).unsubscribe);
    }
    await socket.dispose();
  },
  async 'urql: what is refused is an error with a code'() {
    const { error } = await new Promise<{ error?: { graphQLErrors: { extensions?: Record<string, unknown> }[] } | undefined }>((resolve) => {
      pipe(urql(url, mint(['FINANCIAL_DIRECTOR'])).subscription(JobsDocument, { after: null }), listen(resolve));
    });
    check(error?.graphQLErrors[0]?.extensions?.['code'] === 'FORBIDDEN', `refused: ${JSON.stringify(error)}`);
  },
};

let failures = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    console.log(`ok   ${name}`);
  } catch (reason) {
    failures += 1;
    console.log(`FAIL ${name}: ${reason}`);
  }
}
console.log(`clients: passed ${Object.keys(tests).length - failures}/${Object.keys(tests).length}`);
process.exit(failures ? 1 : 0);
