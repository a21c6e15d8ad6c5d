"""Calls one tool and prints its result: caller.py SERVER TOOL [ARGUMENTS]

    WEFT_NATS_URL=… WEFT_TOKEN_FILE=… python caller.py adder add '{"a": 1, "b": 2}'

Progress goes to standard error. Ctrl-C cancels the call, on the server too. Exit status: 0 a
result, 1 an error of the mesh or the server, 5 the tool said error.
"""

import asyncio, json, sys

import wire


def progress(notification):
    print("progress", json.dumps(notification["params"], ensure_ascii=False), file=sys.stderr, flush=True)


async def main(server, tool, arguments="{}"):
    this = asyncio.current_task()

    async def denied(error):
        print(error, file=sys.stderr)
        this.cancel()

    nc = await wire.connect(denied)
    token = (await wire.exchange(nc))["token"]  # a program that lives longer than this gets a new one in time
    params = {"name": tool, "arguments": json.loads(arguments), "_meta": {"progressToken": 1}}
    answer = await wire.call(nc, server, "tools/call", params, token, notify=progress)
    await nc.close()
    print(json.dumps(answer.get("result", answer.get("error")), ensure_ascii=False))
    return 1 if "error" in answer else 5 if answer["result"].get("isError") else 0


try:
    sys.exit(asyncio.run(main(*sys.argv[1:])))
except KeyboardInterrupt:
    sys.exit(130)
except (ConnectionError, PermissionError, OverflowError, asyncio.TimeoutError, asyncio.CancelledError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
