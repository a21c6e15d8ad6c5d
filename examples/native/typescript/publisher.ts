// Publishes events, one a line of standard input, and says of each where it is stored: publisher.ts
//
//     echo '{"type": "task.created", "data": {"taskId": "t-17", "title": "Write the release notes"}}' \
//         | WEFT_NATS_URL=… WEFT_TOKEN_FILE=… node publisher.ts
//
// Who gives an event an `id` may publish it again without harm: for 10 minutes its stream knows it, and
// keeps one. So what was not reported as stored, for whatever reason, is published again. Exit status:
// 0 all are stored, 1 the one that is named is not, nor what came behind it.

import { readFileSync } from "node:fs";
import { Publisher, connect, newId } from "./events.ts";

const given = readFileSync(0, "utf8").split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line));
const nc = await connect((error) => console.error(`${error}`));
let id = "";
try {
  const publisher = await Publisher.open(nc);
  for (const event of given) {
    id = event.id ??= newId(); // before the first try: it is the same in each
    console.log(JSON.stringify(await publisher.publish(event)));
  }
} catch (error) {
  console.error(`not reported as stored: ${id}\n${error}`);
  process.exitCode = 1;
}
await nc.close();
