// Calls one tool and prints its result: caller.ts SERVER TOOL [ARGUMENTS]
//
//     WEFT_NATS_URL=… WEFT_TOKEN_FILE=… node caller.ts adder add '{"a": 1, "b": 2}'
//
// Progress goes to standard error. Ctrl-C cancels the call, on the server too. Exit status: 0 a
// result, 1 an error of the mesh or the server, 5 the tool said error, 130 cancelled.

import { call, connect, exchange } from "./wire.ts";

const [server, tool, args = "{}"] = process.argv.slice(2);
const stop = new AbortController();
process.on("SIGINT", () => stop.abort("cancelled"));
const nc = await connect((error) => stop.abort(error.message));
try {
  const { token } = await exchange(nc); // a program that lives longer than this gets a new one in time
  const params = { name: tool, arguments: JSON.parse(args), _meta: { progressToken: 1 } };
  const notify = (said: any) => console.error("progress", JSON.stringify(said.params));
  const answer = await call(nc, server, "tools/call", params, { token, notify, stop: stop.signal });
  console.log(JSON.stringify(answer.result ?? answer.error));
  process.exitCode = answer.error ? 1 : answer.result.isError ? 5 : 0;
} catch (error) {
  console.error(`${error}`);
  process.exitCode = stop.signal.reason === "cancelled" ? 130 : 1;
}
await nc.drain();
