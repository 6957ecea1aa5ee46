// The twin of tests/it/zoo.rs: the same data and the same failures for graphql-js.
export function zoo(schema, { GraphQLError }) {
  const fail = () => { throw new GraphQLError('failed', { extensions: { code: 'CONFLICT' } }); };
  const dog = (n) => ({ __typename: 'Dog', name: 'Rex', nick: fail, friend: () => (n > 0 ? dog(n - 1) : null), barks: true, toys: ({ limit }) => Array.from({ length: limit }, (_, number) => ({ number })) });
  const cat = () => ({ __typename: 'Cat', name: 'Tom', nick: null, friend: () => dog(0), lives: 9, toys: [{ number: 100 }] });
  const trouble = () => ({ ok: 'ok', fail, failHard: fail, inner: trouble, innerHard: trouble, inners: () => [trouble(), null], innersHard: () => [trouble(), trouble()], gaps: [1, null, 3] });
  const echo = ({ v }) => v;
  const point = (p) => ({ x: p.x, y: p.y, label: !('label' in p) ? 'absent' : p.label === null ? 'null' : `value ${p.label}`, tags: p.tags, color: p.color });
  const counter = (value) => ({ value, double: value * 2 });
  const stream = (events) => (async function* () { yield* events; })();
  const fields = {
    Query: {
      hello: () => 'world', nothing: () => null, old: () => 'old',
      maybe: (args) => (!('v' in args) ? 'absent' : args.v === null ? 'null' : `value ${args.v}`),
      int: echo, intOr: echo, float: echo, string: echo, boolean: echo, id: echo, color: echo, ints: echo, intsHard: echo, matrix: echo, stamp: echo,
      point: ({ p }) => point(p), points: ({ p }) => p.map(point),
      choose: ({ v }) => ('text' in v ? `text ${v.text}` : `number ${v.number}`),
      dog: () => dog(3), animal: cat, animals: () => [dog(1), cat()], pets: () => [cat(), null, dog(0)], trouble, troubleHard: trouble,
    },
    Mutation: { add: ({ by }, root) => counter((root.counter += by)), fail },
  };
  for (const [type, resolvers] of Object.entries(fields)) {
    for (const [name, resolve] of Object.entries(resolvers)) schema.getType(type).getFields()[name].resolve = (root, args) => resolve(args, root);
  }
  const { ticks, animalsSeen } = schema.getSubscriptionType().getFields();
  ticks.subscribe = (_, { count }) => stream(Array.from({ length: count }, (__, value) => counter(value)));
  animalsSeen.subscribe = () => stream([dog(0), cat()]);
  ticks.resolve = (event) => event;
  animalsSeen.resolve = (event) => event;
}
