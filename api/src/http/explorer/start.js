// Opens GraphiQL with the caller's token in its headers. The token comes from the fragment (#token=…), which browsers never send,
// and is kept in this browser, so that the page opens ready to use the next time.
"use strict";

(() => {
  const KEPT = "plimsoll:token";
  // A link with another token, opened where this page is already open.
  addEventListener("hashchange", () => location.reload());
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get("token");
  if (given) {
    localStorage.setItem(KEPT, given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  const token = localStorage.getItem(KEPT);
  const headers = JSON.stringify({ Authorization: `Bearer ${token ?? "TOKEN: see `plimsoll token --role ADMIN`"}` }, null, 2);

  const tokenOf = (text) => {
    try {
      const [, value] = Object.entries(JSON.parse(text)).find(([name]) => name.toLowerCase() === "authorization") ?? [];
      return /^Bearer\s+([\w.-]+)$/i.exec(value ?? "")?.[1];
    } catch {
      return undefined;
    }
  };

  // A WebSocket cannot carry headers from a page: what the header editor says goes into connection_init.
  let latestHeaders = {};
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const wsClient = graphqlWs.createClient({ url: `${scheme}//${location.host}/graphql`, connectionParams: () => latestHeaders });
  const fetcher = GraphiQL.createFetcher({ url: "/graphql", wsClient });

  ReactDOM.createRoot(document.getElementById("graphiql")).render(
    React.createElement(GraphiQL, {
      fetcher: (request, options) => {
        latestHeaders = options?.headers ?? {};
        return fetcher(request, options);
      },
      headers,
      defaultHeaders: headers,
      defaultQuery: "# Ctrl-Enter asks, Ctrl-Space completes; the book on the left is the schema.\n{\n  viewer {\n    subject\n    roles\n  }\n}\n",
      isHeadersEditorEnabled: true,
      onEditHeaders: (text) => {
        const edited = tokenOf(text);
        if (edited) localStorage.setItem(KEPT, edited);
      },
    }),
  );
})();
