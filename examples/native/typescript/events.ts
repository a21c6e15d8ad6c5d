// What a publisher and a subscriber of events have in common: messages that a stream keeps.
// Each part names its section of docs/protocol.md.

import { createHmac } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { PermissionViolationError, RequestError, TimeoutError } from "@nats-io/transport-node";
import * as wire from "./wire.ts";
import { ME, type Json, type NatsConnection } from "./wire.ts";

const DOMAINS = ["task", "pipeline", "research", "swarm", "context", "system", "resource", "server"]; // "Events"
const [SILENCE, AGAIN, GIVE_UP] = [5000, 1000, 240_000];
const EVENT_BYTES = 524_288;

/** Nothing was stored, and another try would not change that. */
export class Refused extends Error {}

/** A connection that lives through an absence of the broker; `denied` hears what he does not let us do. */
export function connect(denied: (error: Error) => void, connection?: string): Promise<NatsConnection> {
  return wire.connect((error) => {
    if (error instanceof PermissionViolationError) denied(error);
    else console.error(`the broker: ${error}`);
  }, connection);
}

/** A tool of the server `weft`, and what came with the token that it took: [answer, {eventKey, …}]. */
export async function control(nc: NatsConnection, tool: string, args: Json): Promise<[Json, Json]> {
  const granted = await wire.exchange(nc); // a token lives a quarter of an hour: asked for so seldom, a new one each time
  return [await wire.control(nc, tool, args, granted.token), granted];
}

export function newId(): string { // a UUIDv7
  return wire.callId().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

export function messageId(key: string, text: string): string { // "Events": `Nats-Msg-Id`, which nobody else can make
  return wire.base32(createHmac("sha256", Buffer.from(key, "base64url")).update(text).digest()).toUpperCase();
}

/** Asks the streams, which say nothing where they can't; undefined then. */
export async function ask(nc: NatsConnection, subject: string, body: string, said: Record<string, string> = {}): Promise<Json> {
  try {
    return await nc.request(subject, body, { timeout: SILENCE, headers: wire.headers(said) });
  } catch (error) {
    const silent = error instanceof TimeoutError || (error instanceof RequestError && error.isNoResponders());
    if (!silent) throw error;
  }
}

/** Publishes until the stream says that it has it: {stream, seq, duplicate?}. Again only with the same id. */
export async function keep(nc: NatsConnection, subject: string, body: string, id: string): Promise<Json> {
  for (const end = Date.now() + GIVE_UP; Date.now() < end; await sleep(AGAIN)) {
    const answer = (await ask(nc, subject, body, { "Nats-Msg-Id": id }))?.json();
    if (answer && !answer.error) return answer;
    if (answer && ![10008, 10009].includes(answer.error.err_code)) throw new Refused(answer.error.description);
  }
  throw new Error("the stream said nothing: it may be stored");
}

/** Publishes events, one after the other: `await Publisher.open(nc)`. */
export class Publisher {
  #nc: NatsConnection;
  #domains: string[];
  #key: string;

  constructor(nc: NatsConnection, domains: string[], key: string) {
    [this.#nc, this.#domains, this.#key] = [nc, domains, key];
  }

  static async open(nc: NatsConnection): Promise<Publisher> {
    const [declared, { eventKey }] = await control(nc, "event_types", {});
    return new Publisher(nc, [...DOMAINS, ...declared.domains], eventKey);
  }

  /** `id`, `type`, `data`, and more. Resolves when it is stored; where it does not, publish it again with its id. */
  async publish(event: Json): Promise<Json> {
    const body = JSON.stringify({ timestamp: new Date().toISOString(), ...event, source: ME });
    const size = Buffer.byteLength(body);
    if (size > EVENT_BYTES) throw new Refused(`${size} bytes: an event has ${EVENT_BYTES} at most`);
    if (!this.#domains.includes(event.type.split(".")[0])) throw new Refused(`nobody declared the domain of ${event.type}`);
    const stored = await keep(this.#nc, `weft.v1.evt.${ME}.${event.type}`, body, messageId(this.#key, event.id));
    return { id: event.id, duplicate: false, ...stored };
  }
}
