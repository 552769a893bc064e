// Langfuse's SDK for Node, which speaks OTLP in JSON: `node langfuse.mjs FOLDER COUNT` sends COUNT
// traces of three observations to GATEWAY_URL and prints what it sent as one line of JSON. FOLDER
// has the packages.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, count] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { default: sdk } = await load("@opentelemetry/sdk-trace-node");
const { LangfuseSpanProcessor } = require("@langfuse/otel");
const { propagateAttributes, startActiveObservation, startObservation } =
  require("@langfuse/tracing");

// Langfuse's usage details do not overlap: each count is priced by itself.
const GENERATIONS = [
  ["gpt-4o", { input: 600, input_cached_tokens: 400, output: 500 }],
  [
    "claude-sonnet-4-5",
    { input: 300, cache_read_input_tokens: 600, cache_creation_input_tokens: 100, output: 500 },
  ],
  ["windlass-unpriced", { input: 10, output: 5 }],
];

const processor = new LangfuseSpanProcessor({
  publicKey: process.env.PUBLIC_KEY,
  secretKey: process.env.SECRET_KEY,
  baseUrl: process.env.GATEWAY_URL,
  environment: "tests",
});
const provider = new sdk.NodeTracerProvider({ spanProcessors: [processor] });
provider.register();

const spans = [];
for (let number = 0; number < Number(count); number += 1) {
  const [user, session] = [`node-user-${number % 3}`, `node-session-${number % 2}`];
  const [model, usageDetails] = GENERATIONS[number % 3];
  const note = (observation, name, type, parent, model = null) =>
    spans.push({
      trace: observation.traceId, span: observation.id, parent, name, type, model, user, session,
    });
  const shared = { userId: user, sessionId: session, traceName: "conversation", tags: ["tests"] };
  await propagateAttributes(shared, () =>
    startActiveObservation("answer", async (root) => {
      note(root, "answer", "span", null);
      root.update({ input: { question: number } });
      const retrieve = startObservation("retrieve", {}, { asType: "retriever" });
      note(retrieve, "retrieve", "retriever", root.id);
      retrieve.update({ output: ["document"] }).end();
      const chat = startObservation("chat", { model }, { asType: "generation" });
      note(chat, "chat", "generation", root.id, model);
      chat.update({ output: { role: "assistant" }, usageDetails }).end();
      root.update({ output: "done" });
    }),
  );
}
await processor.forceFlush();
await provider.shutdown();
console.log(JSON.stringify({ client: "langfuse node", spans, scores: [], messages: [] }));
