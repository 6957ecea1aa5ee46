import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print } from 'graphql';
import { createClient, type Client } from 'graphql-ws';
import { JobsDocument, type JobsSubscription } from './gql/graphql.js';

/** Asks for a token each time that it connects. Browsers bring the WebSocket; Node 20 needs that of `ws`. */
export const connect = (url: string, token: () => Promise<string>, webSocketImpl?: unknown): Client =>
  createClient({
    url,
    webSocketImpl,
    connectionParams: async () => ({ Authorization: `Bearer ${await token()}` }),
    retryAttempts: Infinity,
    shouldRetry: () => true,
  });

/** Stays subscribed: graphql-ws reconnects by itself, but takes a token that has expired (4401) for the end. */
export function stay<R, V extends Record<string, unknown>>(
  client: Client, document: TypedDocumentNode<R, V>, variables: V, next: (data: R) => void, failed: (reason: unknown) => void,
): () => void {
  let leave = () => {};
  const begin = () => {
    leave = client.subscribe<R>({ query: print(document), variables }, {
      next: ({ data, errors }) => (data && !errors ? next(data) : failed(errors)),
      error: (reason) => ((reason as { code?: number }).code === 4401 ? begin() : failed(reason)),
      complete: () => {},
    });
  };
  begin();
  return () => leave();
}

/** Each change of a job, each once: whatever breaks, it goes on behind the last one that came. */
export function followJobs(
  client: Client, after: string | null, changed: (edge: JobsSubscription['jobUpdates']) => void, failed: (reason: unknown) => void,
): () => void {
  const variables = { after }; // sent anew, as it is by then, by whoever subscribes again
  return stay(client, JobsDocument, variables, ({ jobUpdates }) => {
    variables.after = jobUpdates.cursor;
    changed(jobUpdates);
  }, failed);
}
