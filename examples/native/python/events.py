"""What a publisher and a subscriber of events have in common: messages that a stream keeps.

Each part names its section of docs/protocol.md.
"""

import asyncio, base64, datetime, hashlib, hmac, json, sys, time, uuid

from nats.errors import NoRespondersError, TimeoutError

import wire
from wire import ME

DOMAINS = {"task", "pipeline", "research", "swarm", "context", "system", "resource", "server"}  # "Events"
EVENT_BYTES, SILENCE, AGAIN, GIVE_UP = 524_288, 5, 1, 240  # seconds


class Refused(Exception):
    """Nothing was stored, and another try would not change that."""


async def connect(connection=wire.CONNECTION):
    """A connection that lives through an absence of the broker; what he denies us ends the program's work."""
    this, nc = asyncio.current_task(), None

    async def told(error):
        print(f"the broker: {error}", file=sys.stderr, flush=True)
        if nc is None or "permissions violation" in str(error).lower():
            this.cancel()

    nc = await wire.connect(told, connection)
    return nc


async def control(nc, tool, arguments):
    """A tool of the server `weft`, and what came with the token that it took: (answer, {eventKey, …})."""
    granted = await wire.exchange(nc)  # a token lives a quarter of an hour: asked for so seldom, a new one each time
    return await wire.control(nc, tool, arguments, granted["token"]), granted


def new_id():  # a UUIDv7
    return str(uuid.UUID(wire.call_id()))


def message_id(key, text):  # "Events": `Nats-Msg-Id`, which nobody else can make
    made = hmac.new(wire.unb64(key), text.encode(), hashlib.sha256).digest()
    return base64.b32encode(made).decode().rstrip("=")


async def keep(nc, subject, body, id):
    """Publishes until the stream says that it has it: {stream, seq, duplicate?}. Again only with the same id."""
    end = time.monotonic() + GIVE_UP
    while True:
        try:
            answer = json.loads((await nc.request(subject, body, SILENCE, headers={"Nats-Msg-Id": id})).data)
        except (TimeoutError, NoRespondersError) as error:
            if time.monotonic() > end:
                raise TimeoutError from error
        else:
            if "error" not in answer:
                return answer
            if answer["error"].get("err_code") not in (10008, 10009):
                raise Refused(answer["error"].get("description"))
        await asyncio.sleep(AGAIN)


class Publisher:
    """Publishes events, one after the other: begin with `await Publisher(nc).open()`."""

    def __init__(self, nc):
        self.nc = nc

    async def open(self):
        declared, granted = await control(self.nc, "event_types", {})
        self.domains, self.key = DOMAINS | set(declared["domains"]), granted["eventKey"]
        return self

    async def publish(self, event):
        """`id`, `type`, `data`, and more. Returns when it is stored; where it does not, publish it again with its id."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = {"timestamp": now, **event, "source": ME}
        body = json.dumps(event, ensure_ascii=False).encode()
        if len(body) > EVENT_BYTES:
            raise Refused(f"{len(body)} bytes: an event has {EVENT_BYTES} at most")
        if event["type"].split(".")[0] not in self.domains:
            raise Refused(f"nobody declared the domain of {event['type']}")
        stored = await keep(self.nc, f"weft.v1.evt.{ME}.{event['type']}", body, message_id(self.key, event["id"]))
        return {"id": event["id"], "duplicate": False, **stored}
