import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from '@apollo/client';
import { SetContextLink } from '@apollo/client/link/context';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { OperationTypeNode } from 'graphql';
import type { Client } from 'graphql-ws';

/** Apollo Client: subscriptions over the socket, everything else over HTTP. */
export function apollo(url: string, token: () => Promise<string>, socket: Client): ApolloClient {
  const authorized = new SetContextLink(async () => ({ headers: { authorization: `Bearer ${await token()}` } }));
  const link = ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    new GraphQLWsLink(socket),
    authorized.concat(new HttpLink({ uri: url })),
  );
  return new ApolloClient({ link, cache: new InMemoryCache() });
}
