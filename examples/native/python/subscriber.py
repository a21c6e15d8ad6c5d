"""Handles events, each until it is done: subscriber.py TYPES NAME [OPTIONS]

    WEFT_NATS_URL=… WEFT_TOKEN_FILE=… python subscriber.py 'task.*' billing '{"from": "start"}'

All programs of one identity that say the same NAME share its events, and go on where they were.
OPTIONS are more arguments of `consumer_open`. Ctrl-C or SIGTERM ends it, and what is with handlers
has four seconds. Exit status: 0 it was ended so, 1 it can't go on.
"""

import asyncio, json, signal, sys

from nats.errors import Error

from durable import Durable


async def handle(event, attempt):
    """The work: a stand-in. An event may come again, even one that is done: do it so that twice is once."""
    print(f"{event['id']}, try {attempt}", file=sys.stderr, flush=True)
    await asyncio.sleep(event["data"].get("seconds", 0))
    if "trouble" in event["data"]:
        raise RuntimeError(event["data"]["trouble"])  # it comes again, and is a dead letter in the end
    print(event["id"], flush=True)


async def main(types, name, options="{}"):
    durable = Durable(handle, types, name, json.loads(options))
    for end in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(end, durable.ending.set)
    await durable.open()
    print(f"{durable.consumer} subscribes", file=sys.stderr, flush=True)
    await durable.run()


try:
    asyncio.run(main(*sys.argv[1:]))
except (Error, ConnectionError, PermissionError, asyncio.TimeoutError, asyncio.CancelledError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
