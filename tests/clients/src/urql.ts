import { Client, cacheExchange, fetchExchange, subscriptionExchange } from '@urql/core';
import type { Client as Socket } from 'graphql-ws';

/** urql: subscriptions over the socket, or without one as event streams. */
export function urql(url: string, token: string, socket?: Socket): Client {
  const overSocket = socket && subscriptionExchange({
    forwardSubscription: ({ query, variables }) => ({
      subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query: query ?? '', variables: variables as Record<string, unknown> }, sink) }),
    }),
  });
  return new Client({
    url,
    fetchOptions: { headers: { authorization: `Bearer ${token}` } },
    preferGetMethod: false,
    fetchSubscriptions: !socket,
    exchanges: overSocket ? [cacheExchange, fetchExchange, overSocket] : [cacheExchange, fetchExchange],
  });
}
