import { print } from 'graphql';
import { createClient } from 'graphql-sse';
import { MetricsDocument, type MetricsSubscription } from './gql/graphql.js';

/** The same over HTTP alone, where a proxy lets no WebSocket pass: one request for each subscription. */
export function streamMetrics(
  url: string, token: () => Promise<string>, next: (metrics: MetricsSubscription['executionMetrics']) => void, failed: (reason: unknown) => void,
): () => void {
  const client = createClient({ url, retryAttempts: Infinity, headers: async () => ({ Authorization: `Bearer ${await token()}` }) });
  return client.subscribe<MetricsSubscription>({ query: print(MetricsDocument), variables: { trailingSeconds: 3600 } }, {
    next: ({ data, errors }) => (data && !errors ? next(data.executionMetrics) : failed(errors)),
    error: failed,
    complete: () => {},
  });
}
