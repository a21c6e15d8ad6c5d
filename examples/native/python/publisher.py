"""Publishes events, one a line of standard input, and says of each where it is stored: publisher.py

    echo '{"type": "task.created", "data": {"taskId": "t-17", "title": "Write the release notes"}}' \
        | WEFT_NATS_URL=… WEFT_TOKEN_FILE=… python publisher.py

Who gives an event an `id` may publish it again without harm: for 10 minutes its stream knows it, and
keeps one. So what was not reported as stored, for whatever reason, is published again. Exit status:
0 all are stored, 1 the one that is named is not, nor what came behind it.
"""

import asyncio, json, sys

from nats.errors import Error

import events


async def main(given):
    nc = await events.connect()
    publisher = await events.Publisher(nc).open()
    for event in given:
        event.setdefault("id", events.new_id())  # before the first try: it is the same in each
        try:
            print(json.dumps(await publisher.publish(event)), flush=True)
        except BaseException:
            print(f"not reported as stored: {event['id']}", file=sys.stderr)
            raise
    await nc.close()


try:
    asyncio.run(main([json.loads(line) for line in sys.stdin if line.strip()]))
except KeyboardInterrupt:
    sys.exit(130)
except (events.Refused, Error, ConnectionError, PermissionError, ValueError, asyncio.TimeoutError, asyncio.CancelledError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
