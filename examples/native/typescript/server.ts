// An MCP server on the mesh, without Weft in between: its tools, and what it answers.
//
//     WEFT_NATS_URL=… WEFT_TOKEN_FILE=… node server.ts
//
// The name of the server is that of its token: `weft token issue adder --allow 'serve:tools/adder/*'`.

import { setTimeout as sleep } from "node:timers/promises";
import { Member, type Call } from "./member.ts";
import { Refused } from "./trust.ts";
import { ME, type Json } from "./wire.ts";

const number = { type: "number" };
const TOOLS = [
  { name: "add", description: "Adds two numbers.",
    inputSchema: { type: "object", required: ["a", "b"], properties: { a: number, b: number } } },
  { name: "count", description: "Counts, a number every so many seconds, and tells how far it is.",
    inputSchema: { type: "object", required: ["to"], properties: { to: { type: "integer" }, every: number } } },
  { name: "größe", description: "Says how many characters a text has.",
    inputSchema: { type: "object", required: ["text"], properties: { text: { type: "string" } } } },
];

async function run(name: string, given: Json, call: Call): Promise<string> {
  if (name === "add") return `${given.a + given.b}`;
  if (name === "größe") return `${[...given.text].length}`;
  for (let n = 1; n <= given.to; n++) {
    await sleep((given.every ?? 0.2) * 1000, null, { signal: call.stop.signal });
    call.progress(n, given.to);
  }
  return `counted to ${given.to}`;
}

async function answer(call: Call): Promise<Json> {
  const info = { resultType: "complete", _meta: { "io.modelcontextprotocol/serverInfo": { name: ME, version: "0.1.0" } } };
  const cached = { ttlMs: 0, cacheScope: "private" };
  if (call.method === "server/discover") return { ...info, ...cached, supportedVersions: ["2026-07-28"], capabilities: { tools: {} } };
  if (call.method === "tools/list") return { ...info, ...cached, tools: TOOLS };
  if (call.method !== "tools/call") throw new Refused(-32601, "METHOD_NOT_FOUND", `\`${call.method}\` is no method of this server`);
  const { name, arguments: given = {} } = call.params;
  const tool = TOOLS.find((tool) => tool.name === name);
  if (!tool) throw new Refused(-32001, "TOOL_NOT_FOUND", `\`${name}\` is no tool of this server`);
  const missing = tool.inputSchema.required.filter((member) => !(member in given)); // the tool's own trouble is a result
  const text = missing.length ? `bad arguments: ${missing.join()} is missing` : await run(name, given, call);
  return { ...info, content: [{ type: "text", text }], isError: missing.length > 0 };
}

const stop = new AbortController();
for (const end of ["SIGINT", "SIGTERM"]) process.once(end, () => stop.abort());
await new Member(answer, TOOLS).serve(stop.signal, () => console.log(`${ME} serves`));
