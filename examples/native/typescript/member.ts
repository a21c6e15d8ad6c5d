// A server's place on the mesh: takes calls, checks them, answers, and says that it lives.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Refused, Trust } from "./trust.ts";
import { connect, control, delivery, exchange, headers, ME, nameToken, operation, sha256, type Json, type Msg, type NatsConnection } from "./wire.ts";

const INSTANCE = randomBytes(8).toString("hex");
const REQUEST = new RegExp(`^weft\\.v1\\.req\\.([\\w-]{1,63})\\.${ME}\\.(.+)$`);
const REPLY = new RegExp(`^weft\\.v1\\.rep\\.([^.]+)\\.[a-z0-9]{1,32}\\.${ME}\\.([0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15})$`);
const NUMBERS = ["ms", "try", "parts", "size", "frames"];
const WORDS = ["ref", "corr", "key", "inst", "sha"];

function terms(header: string): Record<string, string> { // "The `Weft` header"
  const [version, ...fields] = header.split(";");
  const pairs = fields.map((field) => [field.slice(0, field.indexOf("=")), field.slice(field.indexOf("=") + 1)]);
  const fits = ([key, value]: string[]) =>
    NUMBERS.includes(key) ? /^\d{1,19}$/.test(value) : !WORDS.includes(key) || /^[!-~]+$/.test(value);
  const good = version === "1" && header.length <= 1024 && fields.every((field) => field.includes("=")) && pairs.every(fits);
  const read = Object.fromEntries(pairs);
  if (!good || Number(read.try ?? 1) > 255) throw new Refused(-32600, "HEADER_MISMATCH", "the `Weft` header can't be read");
  return read;
}

/** One call, and where it is answered. */
export class Call {
  readonly caller: string;
  readonly id: string;
  readonly stop = new AbortController();
  method = "";
  params: Json = {};
  terms: Record<string, string> = {};
  #nc: NatsConnection;
  #message: Msg;
  #subject: string;
  #number: Json = null;
  #frames = 0;

  constructor(nc: NatsConnection, message: Msg) {
    [this.#nc, this.#message] = [nc, message];
    [, this.caller, this.#subject] = REQUEST.exec(message.subject)!;
    this.id = REPLY.exec(message.reply!)![2];
  }

  #frame(kind: string, body = "", more: Record<string, string> = {}): void { // "Frames"
    this.#nc.publish(this.#message.reply!, body, { headers: headers({ "Weft-Frame": kind, ...more }) });
  }

  async keepAlive(ended: AbortSignal): Promise<void> {
    await sleep(50, null, { signal: ended });
    for (let kind = "ack"; ; kind = "ka") {
      this.#frame(kind, "", { Weft: `1;inst=${INSTANCE}` });
      await sleep(15_000, null, { signal: ended });
    }
  }

  progress(progress: number, total: number): void {
    const progressToken = this.params._meta?.progressToken;
    if (progressToken === undefined || this.stop.signal.aborted) return;
    const params = { progressToken, progress, total };
    this.#frame(`msg;${++this.#frames}`, JSON.stringify({ jsonrpc: "2.0", method: "notifications/progress", params }));
  }

  check(): void { // "What a server checks", 6 to 11
    this.terms = terms(this.#message.headers?.get("Weft") || "1");
    const invalid = (sentence: string, kind = "INVALID_REQUEST") => new Refused(-32600, kind, sentence);
    if ("parts" in this.terms && "size" in this.terms) throw invalid("this server takes no request in parts", "REQUEST_TOO_LARGE");
    let body: Json;
    try {
      body = this.#message.json();
    } catch (error) {
      throw new Refused(-32700, "PARSE_ERROR", `the body is not JSON: ${error}`);
    }
    if (body?.jsonrpc !== "2.0" || typeof body.method !== "string") throw invalid("the body is no JSON-RPC 2.0 request");
    const { id, method, params = {} } = body;
    if (typeof id !== "string" && !Number.isSafeInteger(id)) throw invalid("a call has an id, a string or an integer");
    if (typeof params !== "object" || params === null || Array.isArray(params)) throw invalid("the params of a call are an object");
    [this.#number, this.method, this.params] = [id, method, params];
    let same = false;
    try {
      same = operation(method, params) === this.#subject;
    } catch {
      throw invalid("the name is missing");
    }
    if (!same) throw invalid("the body does not ask for what the subject says", "HEADER_MISMATCH");
    const age = Date.now() - parseInt(this.id.slice(0, 12), 16); // "Time"
    if (age < -2000) throw invalid(`the call is ${-age} ms ahead of the clock here`);
    if (age > this.time() + 2000) throw new Refused(-32005, "TIMEOUT", `the call was ${age} ms under way`);
    if (!/^[\w.-]{1,64}$/.test(this.terms.corr ?? "derived")) throw invalid("`corr` is no correlation id");
  }

  time(): number {
    return Math.min(Number(this.terms.ms ?? 30_000), 86_400_000);
  }

  token(): string { // 13: this server remembers no tokens, so a reference says nothing to it
    const bearer = this.#message.headers?.get("Authorization") ?? "";
    if (bearer.startsWith("Bearer ")) return bearer.slice(7);
    throw "ref" in this.terms
      ? new Refused(-32007, "TOKEN_UNKNOWN", "send the token whole")
      : new Refused(-32007, "TOKEN_MISSING", "no token: this call needs one");
  }

  /** The terminal. */
  end(result: Json): void {
    const error = result instanceof Refused ? result : undefined;
    const word = error ? { error: this.#fault(error) } : { result };
    const body = JSON.stringify({ jsonrpc: "2.0", id: this.#number, ...word });
    if (!error && Buffer.byteLength(body) > this.#nc.info!.max_payload - 4096) {
      return this.end(new Refused(-32002, "RESULT_TOO_LARGE", "the answer is too large", { started: "yes" }));
    }
    const said: Record<string, string> = this.#frames ? { Weft: `1;frames=${this.#frames}` } : {};
    if (error) {
      said["Nats-Service-Error"] = error.message.replace(/[^!-~]/g, " ").slice(0, 512);
      said["Nats-Service-Error-Code"] = `${error.code}`;
    }
    this.#nc.publish(this.#message.reply!, body, Object.keys(said).length ? { headers: headers(said) } : {});
  }

  #fault(error: Refused): Json { // "Errors"
    const operation = `${this.method} ${this.params.name ?? ""}`.trim();
    const context = { serverName: ME, operation, requestId: this.terms.corr ?? this.#correlation() };
    const data = { weftCode: error.code, kind: error.kind, origin: "adapter", started: "no", context,
      timestamp: new Date().toISOString(), serverName: ME, ...error.more };
    return { code: error.code, message: error.message, data };
  }

  #correlation(): string { // "Correlation and trace context"
    const call = Buffer.from(this.id, "hex");
    const bits = Buffer.concat([call.subarray(0, 6), sha256(call).subarray(0, 10)]);
    bits[6] = (bits[6] & 0x0f) | 0x70;
    bits[8] = (bits[8] & 0x3f) | 0x80;
    return bits.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }
}

type Answer = (call: Call) => Promise<Json>;

/** `answer(call)` gives the result of a call that may run, or throws `Refused`. */
export class Member {
  #answer: Answer;
  #tools: { name: string; digest: string; calls: number; failed: number; nanos: number }[];
  #running = new Map<string, Call>();
  #since = Date.now();
  #nc!: NatsConnection;
  #trust!: Trust;

  constructor(answer: Answer, tools: Json[]) {
    this.#answer = answer;
    const digest = (tool: Json) => sha256(JSON.stringify(tool)).toString("hex").slice(0, 16);
    this.#tools = tools.map((tool) => ({ name: tool.name, digest: digest(tool), calls: 0, failed: 0, nanos: 0 }));
  }

  /** Serves until `stop`; then what runs may end within five seconds. */
  async serve(stop: AbortSignal, ready: () => void): Promise<void> {
    const nc = (this.#nc = await connect((error) => console.error(`the broker: ${error.message}`)));
    this.#trust = new Trust((await exchange(nc)).anchor);
    const deliver = delivery();
    const first = Promise.withResolvers<void>();
    nc.subscribe(`weft.v1.dlv.${ME}.${deliver}`, { callback: (_, message) => this.#snapshot(message, first.resolve) });
    await control(nc, "trust_open", { deliver });
    await Promise.race([first.promise, sleep(5000).then(() => Promise.reject(new Error("no snapshot came")))]);
    nc.subscribe(`weft.v1.ctl.*.${ME}.cancel`, { callback: (_, message) => this.#cancel(message) });
    for (const verb of ["PING", "INFO", "STATS"]) {
      for (const end of ["", `.${ME}`, `.${ME}.${INSTANCE}`]) {
        nc.subscribe(`$SRV.${verb}${end}`, { callback: (_, message) => this.#micro(message) });
      }
    }
    const calls = nc.subscribe(`weft.v1.req.*.${ME}.>`, { queue: "weft", callback: (_, message) => this.#take(message) });
    await nc.flush();
    ready();
    while (!stop.aborted) { // heartbeats, and the lease on snapshots
      this.#beat("healthy");
      await sleep(5000, null, { signal: stop }).catch(() => {});
      await control(nc, "trust_open", { deliver }).catch((error) => console.error(`the lease on snapshots: ${error}`));
    }
    calls.unsubscribe();
    for (let n = 0; n < 50 && this.#running.size; n++) await sleep(100);
    this.#beat("left");
    await nc.drain();
  }

  #snapshot(message: Msg, first: () => void): void {
    try {
      this.#trust.apply(message.string());
      first();
    } catch (error) { // not signed by whom we believe: it says nothing
      console.error(`a snapshot was dropped: ${error}`);
    }
  }

  #beat(state: string): void { // "Heartbeats"
    const list = this.#tools.map(({ name, digest }) => ({ name, digest }));
    const digest = sha256(list.map((tool) => tool.digest).join()).toString("hex").slice(0, 32);
    const beat = { server: ME, instance: INSTANCE, version: "0.1.0", state, since: this.#since, sentAt: Date.now(),
      transport: "native", tools: { count: list.length, digest, list } };
    this.#nc.publish(`weft.v1.hb.${ME}.${INSTANCE}`, JSON.stringify(beat));
  }

  #take(message: Msg): void { // "What a server checks", 1 to 4
    const [to, place] = [REPLY.exec(message.reply ?? ""), REQUEST.exec(message.subject)];
    if (!to || !place || ![place[1], "gateway"].includes(to[1]) || message.headers?.has("Nats-Stream")) return;
    const call = new Call(this.#nc, message);
    if (this.#running.has(call.id)) return call.end(new Refused(-32600, "INVALID_REQUEST", "this call is under way"));
    if (this.#running.size >= 256) {
      return call.end(new Refused(-32006, "SERVER_OVERLOADED", "256 calls are under way", { retryAfterMs: 250 }));
    }
    this.#running.set(call.id, call);
    this.#run(call);
  }

  async #run(call: Call): Promise<void> {
    const [ended, began] = [new AbortController(), performance.now()];
    let outcome: Json;
    try {
      call.check();
      this.#trust.check(() => call.token(), call.caller, call.method, call.params.name);
      call.keepAlive(ended.signal).catch(() => {}); // it ends with the call
      const late = () => { throw new Refused(-32005, "TIMEOUT", "the caller's time is over", { started: "maybe" }); };
      const gone = new Promise((_, reject) => call.stop.signal.addEventListener("abort", () => reject(call.stop.signal.reason)));
      outcome = await Promise.race([this.#answer(call), gone, sleep(call.time(), null, { signal: ended.signal }).then(late)]);
    } catch (error) {
      outcome = error instanceof Refused || call.stop.signal.aborted ? error : new Refused(-32603, "INTERNAL_ERROR", `${error}`);
    }
    ended.abort();
    this.#running.delete(call.id);
    const failed = outcome instanceof Error || outcome?.isError === true;
    const tool = this.#tools.find((tool) => tool.name === call.params.name);
    if (tool) [tool.calls, tool.failed, tool.nanos] = [tool.calls + 1, tool.failed + +failed, tool.nanos + (performance.now() - began) * 1e6];
    if (call.stop.signal.reason === "cancelled") console.error(`cancelled: ${call.method} ${call.params.name ?? ""}`);
    else call.end(outcome);
    call.stop.abort("ended"); // a tool that is behind its time stops too
  }

  #cancel(message: Msg): void { // "Cancelling": of that caller's, and no terminal
    const call = this.#running.get(message.string());
    if (call && message.subject === `weft.v1.ctl.${call.caller}.${ME}.cancel`) call.stop.abort("cancelled");
  }

  #micro(message: Msg): void { // "Heartbeats": as NATS micro services do
    if (!message.reply?.startsWith("weft.v1.srv.")) return;
    const verb = message.subject.split(".")[1];
    const say: Json = { type: `io.nats.micro.v1.${verb.toLowerCase()}_response`, name: ME, id: INSTANCE, version: "0.1.0",
      metadata: { "weft.tools": `${this.#tools.length}` } };
    if (verb !== "PING") say.endpoints = this.#tools.map((tool) => endpoint(verb, tool));
    if (verb === "INFO") say.description = "a native member";
    if (verb === "STATS") say.started = new Date(this.#since).toISOString();
    this.#nc.publish(message.reply, JSON.stringify(say));
  }
}

function endpoint(verb: string, { name, digest, calls, failed, nanos }: Json): Json {
  const token = nameToken(name);
  const say = { name: token.replaceAll("=", "_"), subject: `weft.v1.req.*.${ME}.tools.call.${token}`, queue_group: "weft" };
  return verb === "INFO"
    ? { ...say, metadata: { tool: name, digest } }
    : { ...say, num_requests: calls, num_errors: failed, last_error: "", processing_time: Math.round(nanos),
        average_processing_time: Math.round(nanos / Math.max(calls, 1)) };
}
