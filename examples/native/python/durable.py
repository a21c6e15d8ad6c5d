"""A durable subscription: events that are handed out until they are answered."""

import asyncio, json, secrets, sys

from nats.errors import Error, NoRespondersError

import events, wire
from wire import ME

AT_ONCE, ANSWERS = 32, 6  # events of each stream with handlers, tries of an answer
SILENCE, AGAIN, STOP = 5, 1, 4  # seconds
REPLAYS = "WEFT_REPLAYS"


class Durable:  # "Durable subscriptions"
    """`handle(event, attempt)` does the work, or raises. `options` are more arguments of `consumer_open`."""

    def __init__(self, handle, types, name, options):
        self.handle, self.types, self.ending = handle, types, asyncio.Event()
        self.asked = {**options, "name": name, "wish": {**options.get("wish", {}), "types": [types]}}

    async def open(self):
        self.calls = await events.connect()
        opened, granted = await events.control(self.calls, "consumer_open", self.asked)
        self.consumer, self.streams, self.handing = opened["consumer"], opened["streams"], opened["handing"]
        self.key = granted["eventKey"]
        self.nc = await events.connect(secrets.token_hex(8))  # not before: it is told which durables are ours

    async def run(self):
        """Reads each stream until `ending` is set."""
        await asyncio.gather(*(self.read(stream) for stream in self.streams))
        await self.nc.drain()
        await self.calls.close()

    async def read(self, stream):
        work, to = set(), f"weft.v1.dlv.{ME}.{wire.delivery()}"
        ask, come = f"weft.v1.js.CONSUMER.MSG.NEXT.{stream}.{self.consumer}", await self.nc.subscribe(to)
        ended = asyncio.create_task(self.ending.wait())
        while not ended.done():
            room = AT_ONCE - len(work)
            if room == 0:
                await asyncio.wait({ended, *work}, return_when=asyncio.FIRST_COMPLETED)
                continue
            pull = {"batch": room, "expires": 2_000_000_000, "idle_heartbeat": 1_000_000_000}
            await self.nc.publish(ask, json.dumps(pull).encode(), to)
            if not await self.pulled(come, room, work):
                await self.mend(stream)
        if work:  # the last pull is over: nothing more comes
            _, late = await asyncio.wait(work, timeout=STOP)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def pulled(self, come, room, work):
        """Whether the pull came to its end: not where the broker has forgotten it."""
        while room:
            try:
                message = await come.next_msg(SILENCE)
            except asyncio.TimeoutError:
                return False
            status = (message.headers or {}).get("Status")
            if status is None:
                task, room = asyncio.create_task(self.take(message)), room - 1
                work.add(task)
                task.add_done_callback(work.discard)
            elif status != "100":
                return status in ("408", "409") and "Deleted" not in message.headers.get("Description", "")
        return True

    async def mend(self, stream):
        """An event may have ended the connection. Here we also hear that the durable was removed."""
        await asyncio.sleep(AGAIN)
        try:
            await events.control(self.calls, "consumer_mend", {"consumer": self.consumer, "stream": stream})
        except (ConnectionError, asyncio.TimeoutError) as error:
            print(f"{stream} is not read now: {error!r}", file=sys.stderr, flush=True)

    async def take(self, message):
        """One event, until the broker has heard what became of it."""
        alive = asyncio.create_task(self.say_working(message))
        try:
            await self.settle(message)
        except asyncio.CancelledError:  # the end came first: another program may have it
            await self.again(message, 1)
        except (events.Refused, Error, asyncio.TimeoutError) as error:
            print(f"not answered, so it comes again: {error!r}", file=sys.stderr, flush=True)
        finally:
            alive.cancel()

    async def settle(self, message):
        _, _, stream, _, attempt, number, *_ = message.reply.split(".")
        source, *kind = message.subject.split(".")[3:]  # whom the broker vouches for, whatever the body says
        attempt, copy = int(attempt), 0
        if stream == REPLAYS:  # only there this header means anything
            copy, (source, *kind) = int(number), kind
            stream, number = message.headers["Weft-Replay"].split(":")
        letter = {"stream": stream, "seq": int(number), "consumer": self.consumer, "attempts": attempt}
        try:
            event = json.loads(message.data) | {"source": source}
        except (ValueError, TypeError) as error:
            return await self.give_up(message, letter, copy, f"it can't be read: {error}")
        if not copy and not wished(self.types, ".".join(kind)):
            return await self.answer(message, b"+ACK")
        if attempt > self.handing["tries"]:
            letter["attempts"] -= 1
            return await self.give_up(message, letter, copy, "nobody answered it; whoever had it may have ended")
        try:
            await self.handle(event, attempt)
        except Exception as error:
            last = attempt == self.handing["tries"]
            return await (self.give_up(message, letter, copy, str(error)) if last else self.again(message, attempt))
        await self.answer(message, b"+ACK")

    async def answer(self, message, body):
        """It counts when the broker says that he has it: after that the event never comes again."""
        for _ in range(ANSWERS):
            try:
                return await self.nc.request(message.reply, body, SILENCE)
            except (NoRespondersError, asyncio.TimeoutError):
                await asyncio.sleep(AGAIN)
        raise asyncio.TimeoutError

    async def again(self, message, attempt):
        waits = self.handing["backoffMs"]
        delay = waits[min(attempt, len(waits)) - 1] * 1_000_000
        await self.nc.publish(message.reply, f'-NAK {{"delay": {delay}}}'.encode())

    async def give_up(self, message, letter, copy, why):  # "Dead letters": stored first
        body = json.dumps({**letter, "reason": why[:2000]}).encode()
        key = f"dlq/{letter['stream']}/{letter['seq']}/{self.consumer}/{copy}"
        to = f"weft.v1.dlq.{letter['stream']}.{self.consumer}"
        await events.keep(self.nc, to, body, events.message_id(self.key, key))
        await self.answer(message, b"+TERM")

    async def say_working(self, message):
        while True:
            await asyncio.sleep(self.handing["waitMs"] / 3000)
            await self.nc.publish(message.reply, b"+WPI")


def wished(pattern, kind):  # the stream's own filter lets a little more pass
    return kind.startswith(pattern[:-1]) if pattern.endswith("*") else kind == pattern
