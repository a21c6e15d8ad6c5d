// Handles events, each until it is done: subscriber.ts TYPES NAME [OPTIONS]
//
//     WEFT_NATS_URL=… WEFT_TOKEN_FILE=… node subscriber.ts 'task.*' billing '{"from": "start"}'
//
// All programs of one identity that say the same NAME share its events, and go on where they were.
// OPTIONS are more arguments of `consumer_open`. Ctrl-C or SIGTERM ends it, and what is with handlers
// has four seconds. Exit status: 0 it was ended so, 1 it can't go on.

import { setTimeout as sleep } from "node:timers/promises";
import { Durable } from "./durable.ts";
import type { Json } from "./wire.ts";

/** The work: a stand-in. An event may come again, even one that is done: do it so that twice is once. */
async function handle(event: Json, attempt: number, late: AbortSignal): Promise<void> {
  console.error(`${event.id}, try ${attempt}`);
  await sleep((event.data.seconds ?? 0) * 1000, null, { signal: late });
  if ("trouble" in event.data) throw new Error(event.data.trouble); // it comes again, and is a dead letter in the end
  console.log(event.id);
}

const [types, name, options = "{}"] = process.argv.slice(2);
const stop = new AbortController();
for (const end of ["SIGINT", "SIGTERM"]) process.once(end, () => stop.abort());
const fail = (error: unknown) => {
  console.error(`${error}`);
  process.exit(1);
};
try {
  const durable = new Durable(handle, types, name, JSON.parse(options));
  await durable.open(fail);
  console.error(`${durable.consumer} subscribes`);
  await durable.run(stop.signal);
  process.exit(0); // also where a handler took no notice of the end
} catch (error) {
  fail(error);
}
