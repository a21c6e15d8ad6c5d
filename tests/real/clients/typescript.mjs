#!/usr/bin/env node
/*
A client on the TypeScript SDK: 2.4 (`legacy`, `auto`, `pin`), and 1.32 (`v1`).

    bin/node typescript.mjs legacy|auto|pin|v1 URL
    bin/node typescript.mjs legacy|auto|pin|v1 -- COMMAND ARG…

steps.py says what goes in and out. `auto` asks the server what it speaks and takes either era,
`pin` takes 2026-07-28 or nothing, and the other two shake hands.
*/

import { createRequire } from 'node:module';
import readline from 'node:readline';

const MODERN = '2026-07-28';
const TOOLS_CHANGED = 'notifications/tools/list_changed';

// `import` does not follow NODE_PATH; `require` does.
const require = createRequire(import.meta.url);

const say = (step, what) => process.stdout.write(JSON.stringify({ step, ...what }) + '\n');

const result = (answer) => ({
  isError: Boolean(answer.isError),
  text: answer.content.filter((block) => block.type === 'text').map((block) => block.text).join('\n'),
});

const failure = (error) =>
  Number.isInteger(error.code)
    ? { code: error.code, message: error.message, data: error.data }
    : { message: `${error.name}: ${error.message}` };

// Each SDK: a client, a transport to the target, and what differs in its calls.
function sdk(mode) {
  const info = { name: 'weft-tests', version: '1' };
  if (mode === 'v1') {
    const at = (path) => require('@modelcontextprotocol/sdk/' + path);
    const { ToolListChangedNotificationSchema } = at('types.js');
    const client = new (at('client/index.js').Client)(info);
    return {
      client,
      Http: at('client/streamableHttp.js').StreamableHTTPClientTransport,
      Stdio: at('client/stdio.js').StdioClientTransport,
      call: (params, options) => client.callTool(params, undefined, options),
      onChange: (then) => client.setNotificationHandler(ToolListChangedNotificationSchema, then),
      modern: () => false,
    };
  }
  const { Client, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');
  const { StdioClientTransport } = require('@modelcontextprotocol/client/stdio');
  const negotiated = mode === 'pin' ? { pin: MODERN } : mode;
  const client = new Client(info, { versionNegotiation: { mode: negotiated } });
  return {
    client,
    Http: StreamableHTTPClientTransport,
    Stdio: StdioClientTransport,
    call: (params, options) => client.callTool(params, options),
    onChange: (then) => client.setNotificationHandler(TOOLS_CHANGED, then),
    modern: () => client.getNegotiatedProtocolVersion() === MODERN,
  };
}

// A token on a command line would be seen by `ps`.
const token = process.env.WEFT_TOKEN;
const headers = token ? { Authorization: `Bearer ${token}` } : {};

// In the older era the GET is the stream that announces; the SDK does not say when it is up.
let streaming;
const stream = new Promise((resolve) => (streaming = resolve));
async function fetching(url, init) {
  const answer = await fetch(url, init);
  if ((init?.method ?? 'GET') === 'GET' && answer.ok) streaming();
  return answer;
}

function transport({ Http, Stdio }, target) {
  if (target[0].startsWith('http')) {
    return new Http(new URL(target[0]), { requestInit: { headers }, fetch: fetching });
  }
  streaming();
  const [command, ...args] = target;
  return new Stdio({ command, args, stderr: 'inherit' });
}

async function names({ client }) {
  const tools = [];
  let cursor;
  do {
    const page = await client.listTools(cursor === undefined ? undefined : { cursor });
    tools.push(...page.tools.map((tool) => tool.name));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return tools;
}

const steps = {
  async list(session) {
    say('list', { tools: await names(session) });
  },

  async call(session, { tool, arguments: given }) {
    say('call', result(await session.call({ name: tool, arguments: given })));
  },

  async progress(session, { tool, arguments: given }) {
    const onprogress = ({ progress, total }) => say('progress', { progress, total });
    say('progress', result(await session.call({ name: tool, arguments: given }, { onprogress })));
  },

  async cancel(session, { tool, arguments: given }) {
    const abort = new AbortController();
    const onprogress = ({ progress }) => {
      say('cancel', { progress });
      abort.abort('the test wants it');
    };
    let cancelled = false;
    try {
      const options = { onprogress, signal: abort.signal };
      say('cancel', result(await session.call({ name: tool, arguments: given }, options)));
    } catch (error) {
      if (!abort.signal.aborted) throw error;
      cancelled = true;
    }
    const how = session.modern() ? 'request closed' : 'notifications/cancelled';
    say('cancel', { cancelled, how });
  },

  async watch(session) {
    session.onChange(async () => say('watch', { tools: await names(session) }));
    if (session.modern()) await session.client.listen({ toolsListChanged: true });
    else await stream;
    say('watch', { listening: true });
  },
};

const [mode, ...words] = process.argv.slice(2);
const target = words[0] === '--' ? words.slice(1) : words;
if (!['legacy', 'auto', 'pin', 'v1'].includes(mode) || target.length === 0) {
  process.stderr.write('usage: typescript.mjs legacy|auto|pin|v1 (URL | -- COMMAND ARG…)\n');
  process.exit(2);
}
const session = sdk(mode);
const line = transport(session, target);
await session.client.connect(line);
const version = session.client.getNegotiatedProtocolVersion?.() ?? line.protocolVersion;
say('open', { version });
for await (const text of readline.createInterface({ input: process.stdin })) {
  const { step, ...given } = JSON.parse(text);
  try {
    await steps[step](session, given);
  } catch (error) {
    say(step, { error: failure(error) });
  }
}
await session.client.close();
