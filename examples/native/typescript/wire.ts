// What a caller and a server have in common: who we are, names, call ids, and a call itself.
// Each part names its section of docs/protocol.md.

import { createHash, createHmac, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect as nats, headers as natsHeaders, type Msg, type NatsConnection, type Subscription } from "@nats-io/transport-node";

export type Json = any;
const env = process.env;
const URL = env.WEFT_NATS_URL ?? "nats://127.0.0.1:4222";
const TOKEN = env.WEFT_TOKEN ?? readFileSync(env.WEFT_TOKEN_FILE!, "utf8").trim();
export const sha256 = (data: string | Buffer) => createHash("sha256").update(data).digest();

// "Tokens for access": whoever holds a token may read it; whoever gets it verifies it.
const HELD = JSON.parse(Buffer.from(TOKEN.split(".")[1], "base64url").toString());
export const ME: string = HELD.sub;
const CONNECTION = randomBytes(8).toString("hex");

// "Names and tokens": {method…}.{name}
const NAMED: Record<string, string> = {
  "tools/call": "name", "prompts/get": "name", "tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId",
  "resources/read": "uri", "resources/subscribe": "uri", "resources/unsubscribe": "uri",
};

export function nameToken(name: string, member = "name"): string {
  const data = Buffer.from(name);
  if (data.length > 100 || member === "uri") return "=h" + base32(sha256(data)).slice(0, 26);
  if (name === "_") return "=5F";
  const hex = (byte: number) => "=" + byte.toString(16).toUpperCase().padStart(2, "0");
  return [...data].map((byte) => (/[\w-]/.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : hex(byte))).join("");
}

export function base32(data: Buffer): string {
  const bits = [...data].map((byte) => byte.toString(2).padStart(8, "0")).join("") + "0".repeat(4);
  return bits.match(/.{5}/g)!.map((five) => "abcdefghijklmnopqrstuvwxyz234567"[parseInt(five, 2)]).join("");
}

export function operation(method: string, params: Json): string {
  const name = method in NAMED ? nameToken(params[NAMED[method]], NAMED[method]) : "_";
  return `${method.replaceAll("/", ".")}.${name}`;
}

export function delivery(): string { // {n}
  return base32(randomBytes(20));
}

export function callId(): string { // a UUIDv7 in hex
  const random = randomBytes(10);
  random[0] = (random[0] & 0x0f) | 0x70;
  random[2] = (random[2] & 0x3f) | 0x80;
  return Date.now().toString(16).padStart(12, "0") + random.toString("hex");
}

export function headers(of: Record<string, string>) {
  const all = natsHeaders();
  for (const [name, value] of Object.entries(of)) all.set(name, value);
  return all;
}

/** `denied` hears of what the broker does not let us do: it says so by no other way. */
export async function connect(denied: (error: Error) => void, connection = CONNECTION): Promise<NatsConnection> {
  const more = { inboxPrefix: `weft.v1.inb.${ME}.${connection}`, name: `native ${ME}`, maxReconnectAttempts: 60 };
  const nc = await nats({ servers: URL, token: TOKEN, ...more });
  (async () => {
    for await (const status of nc.status()) if (status.type === "error") denied(status.error);
  })();
  return nc;
}

export type Options = { token?: string; ms?: number; notify?: (notification: Json) => void; stop?: AbortSignal };

/** "A call": the response, as the server wrote it. Given up or cancelled, the server hears of it. */
export async function call(nc: NatsConnection, server: string, method: string, params: Json, options: Options = {}): Promise<Json> {
  const { token, ms = 30_000, notify = () => {}, stop } = options;
  const call = callId();
  const reply = `weft.v1.rep.${ME}.${CONNECTION}.${server}.${call}`;
  const answers = nc.subscribe(reply);
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const said = headers({ Weft: `1;ms=${ms}`, ...(token && { Authorization: `Bearer ${token}` }) });
  nc.publish(`weft.v1.req.${ME}.${server}.${operation(method, params)}`, body, { reply, headers: said });
  let given = "";
  const giveUp = (why: string) => { // "Cancelling"
    given = why;
    nc.publish(`weft.v1.ctl.${ME}.${server}.cancel`, call);
    answers.unsubscribe();
  };
  const timer = setTimeout(giveUp, ms, "the time is over");
  stop?.addEventListener("abort", () => giveUp(stop.reason));
  try {
    return await terminal(answers, server, notify, () => given);
  } finally {
    clearTimeout(timer);
    answers.unsubscribe();
  }
}

async function terminal(answers: Subscription, server: string, notify: (n: Json) => void, given: () => string): Promise<Json> { // "Frames"
  for await (const message of answers) {
    const said = (name: string) => message.headers?.get(name) ?? "";
    if (message.headers?.code === 503) throw new Error(`no instance of ${server} is there`);
    if (said("Weft-Frame").startsWith("msg;")) notify(message.json());
    else if (said("Weft-Frame") || said("Nats-Stream")) continue;
    else if (said("Weft").includes("parts=")) throw new Error("the answer comes in parts, which this client does not take");
    else return message.json();
  }
  throw new Error(given());
}

const LATER = [-32005, -32006, -32008, -32603]; // "Errors": what may go well a little later

/** What the control plane does not do, now or ever. */
export class Denied extends Error {}

/** A tool of the server `weft`; some need no token. */
export async function control(nc: NatsConnection, tool: string, args: Json, token?: string): Promise<Json> {
  const answer = await call(nc, "weft", "tools/call", { name: tool, arguments: args }, { ms: 5000, token });
  if (answer.error) throw new (LATER.includes(answer.error.code) ? Error : Denied)(answer.error.message);
  return answer.result.structuredContent;
}

export async function exchange(nc: NatsConnection): Promise<Json> { // "Exchange": {token, expiresAt, anchor}
  const [at, nonce] = [Math.floor(Date.now() / 1000), randomBytes(24).toString("base64url")];
  const text = `weft:token_exchange:${ME}:${at}:${nonce}`;
  const proof = createHmac("sha256", sha256(TOKEN)).update(text).digest("base64url");
  return control(nc, "token_exchange", { jti: HELD.jti, at, nonce, proof });
}

export type { Msg, NatsConnection };
