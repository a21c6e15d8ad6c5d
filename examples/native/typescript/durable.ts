// A durable subscription: events that are handed out until they are answered.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Subscription } from "@nats-io/transport-node";
import * as events from "./events.ts";
import { Denied, ME, delivery, type Json, type Msg, type NatsConnection } from "./wire.ts";

const [AT_ONCE, ANSWERS] = [32, 6]; // events of each stream with handlers, tries of an answer
const [SILENCE, AGAIN, STOP] = [5000, 1000, 4000];
const REPLAYS = "WEFT_REPLAYS";

/** The work: rejects where it can't be done now. `late` tells it that nobody waits for its end any more. */
export type Handle = (event: Json, attempt: number, late: AbortSignal) => Promise<void>;

export class Durable { // "Durable subscriptions"
  consumer = "";
  #handle: Handle;
  #types: string;
  #asked: Json;
  #streams: string[] = [];
  #handing: Json;
  #key = "";
  #calls!: NatsConnection;
  #nc!: NatsConnection;
  #held = new Set<Msg>();
  #late = new AbortController();

  /** `options` are more arguments of `consumer_open`. */
  constructor(handle: Handle, types: string, name: string, options: Json) {
    [this.#handle, this.#types] = [handle, types];
    this.#asked = { ...options, name, wish: { ...options.wish, types: [types] } };
  }

  async open(denied: (error: Error) => void): Promise<void> {
    this.#calls = await events.connect(denied);
    const [opened, { eventKey }] = await events.control(this.#calls, "consumer_open", this.#asked);
    [this.consumer, this.#streams, this.#handing, this.#key] = [opened.consumer, opened.streams, opened.handing, eventKey];
    this.#nc = await events.connect(denied, randomBytes(8).toString("hex")); // not before: it is told which durables are ours
  }

  /** Reads each stream until `stop`; what is with handlers then has four seconds. */
  async run(stop: AbortSignal): Promise<void> {
    await Promise.all(this.#streams.map((stream) => this.#read(stream, stop)));
    this.#late.abort();
    for (const message of this.#held) this.#again(message, 1); // another program may have it
    await this.#nc.drain();
    await this.#calls.close();
  }

  async #read(stream: string, stop: AbortSignal): Promise<void> {
    const [work, to] = [new Set<Promise<void>>(), `weft.v1.dlv.${ME}.${delivery()}`];
    const come = new Heard(this.#nc.subscribe(to));
    const stopped = new Promise((over) => stop.addEventListener("abort", over));
    while (!stop.aborted) {
      const room = AT_ONCE - work.size;
      if (room === 0) {
        await Promise.race([stopped, ...work]);
        continue;
      }
      const pull = { batch: room, expires: 2_000_000_000, idle_heartbeat: 1_000_000_000 };
      this.#nc.publish(`weft.v1.js.CONSUMER.MSG.NEXT.${stream}.${this.consumer}`, JSON.stringify(pull), { reply: to });
      if (!(await this.#pulled(come, room, work))) await this.#mend(stream);
    }
    // The last pull is over: nothing more comes.
    const given = new AbortController();
    await Promise.race([Promise.all(work), sleep(STOP, null, { signal: given.signal }).catch(() => {})]);
    given.abort();
  }

  /** Whether the pull came to its end: not where the broker has forgotten it. */
  async #pulled(come: Heard, room: number, work: Set<Promise<void>>): Promise<boolean> {
    while (room > 0) {
      const message = await come.next();
      if (!message) return false;
      const status = message.headers?.code ?? 0;
      if (status === 0) {
        const task: Promise<void> = this.#take(message).finally(() => work.delete(task));
        work.add(task);
        room--;
      } else if (status !== 100) {
        return [408, 409].includes(status) && !message.headers!.description.includes("Deleted");
      }
    }
    return true;
  }

  /** An event may have ended the connection. Here we also hear that the durable was removed. */
  async #mend(stream: string): Promise<void> {
    await sleep(AGAIN);
    try {
      await events.control(this.#calls, "consumer_mend", { consumer: this.consumer, stream });
    } catch (error) {
      if (error instanceof Denied) throw error;
      console.error(`${stream} is not read now: ${error}`);
    }
  }

  /** One event, until the broker has heard what became of it. */
  async #take(message: Msg): Promise<void> {
    const alive = setInterval(() => this.#nc.publish(message.reply!, "+WPI"), this.#handing.waitMs / 3);
    this.#held.add(message);
    try {
      await this.#settle(message);
    } catch (error) {
      console.error(`not answered, so it comes again: ${error}`);
    } finally {
      this.#held.delete(message);
      clearInterval(alive);
    }
  }

  async #settle(message: Msg): Promise<void> {
    let [, , stream, , tries, number] = message.reply!.split(".");
    let [source, ...kind] = message.subject.split(".").slice(3); // whom the broker vouches for, whatever the body says
    let [attempt, copy] = [Number(tries), 0];
    if (stream === REPLAYS) { // only there this header means anything
      [copy, [source, ...kind]] = [Number(number), kind];
      [stream, number] = message.headers!.get("Weft-Replay").split(":");
    }
    const letter = { stream, seq: Number(number), consumer: this.consumer, attempts: attempt };
    let event: Json;
    try {
      event = message.json<Json>();
      event.source = source;
    } catch (error) {
      return this.#giveUp(message, letter, copy, `it can't be read: ${error}`);
    }
    if (!copy && !wished(this.#types, kind.join("."))) return this.#answer(message, "+ACK");
    if (attempt > this.#handing.tries) {
      letter.attempts--;
      return this.#giveUp(message, letter, copy, "nobody answered it; whoever had it may have ended");
    }
    try {
      await this.#handle(event, attempt, this.#late.signal);
    } catch (error) {
      if (this.#late.signal.aborted) return;
      if (attempt < this.#handing.tries) return this.#again(message, attempt);
      return this.#giveUp(message, letter, copy, error instanceof Error ? error.message : `${error}`);
    }
    await this.#answer(message, "+ACK");
  }

  /** It counts when the broker says that he has it: after that the event never comes again. */
  async #answer(message: Msg, body: string): Promise<void> {
    for (let n = 0; n < ANSWERS; n++) {
      if (await events.ask(this.#nc, message.reply!, body)) return;
      await sleep(AGAIN);
    }
    throw new Error("the broker said nothing");
  }

  #again(message: Msg, attempt: number): void {
    const waits: number[] = this.#handing.backoffMs;
    const delay = waits[Math.min(attempt, waits.length) - 1] * 1_000_000;
    this.#nc.publish(message.reply!, `-NAK ${JSON.stringify({ delay })}`);
  }

  async #giveUp(message: Msg, letter: Json, copy: number, why: string): Promise<void> { // "Dead letters": stored first
    const body = JSON.stringify({ ...letter, reason: [...why].slice(0, 2000).join("") });
    const id = events.messageId(this.#key, `dlq/${letter.stream}/${letter.seq}/${this.consumer}/${copy}`);
    await events.keep(this.#nc, `weft.v1.dlq.${letter.stream}.${this.consumer}`, body, id);
    await this.#answer(message, "+TERM");
  }
}

/** What comes to a subscription, and its silence. */
class Heard {
  #from: AsyncIterator<Msg>;
  #next: Promise<IteratorResult<Msg>>;

  constructor(from: Subscription) {
    this.#from = from[Symbol.asyncIterator]();
    this.#next = this.#from.next();
  }

  /** Undefined after 5 s without a word. */
  async next(): Promise<Msg | undefined> {
    let timer: NodeJS.Timeout;
    const silence = new Promise<undefined>((over) => { timer = setTimeout(over, SILENCE); });
    const heard = await Promise.race([this.#next, silence]);
    clearTimeout(timer!);
    if (!heard) return undefined;
    if (heard.done) throw new Error("the connection was closed");
    this.#next = this.#from.next();
    return heard.value;
  }
}

// The stream's own filter lets a little more pass.
const wished = (pattern: string, kind: string) => (pattern.endsWith("*") ? kind.startsWith(pattern.slice(0, -1)) : kind === pattern);
