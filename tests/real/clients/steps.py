"""What the Python clients share: steps come in on stdin, and what came of them goes out on stdout.

One JSON object a line, both ways. A step is `{"step": NAME, …}`, and its other members are the
arguments of the client's method of that name; typescript.mjs takes the same ones:

    {"step": "list"}                              the names of all tools, over all pages
    {"step": "call", "tool": T, "arguments": {}}  one call
    {"step": "progress", "tool": T, …}            a call: a line for each progress, then its result
    {"step": "cancel", "tool": T, …}              a call that is cancelled at its first progress
    {"step": "watch"}                             from here on a line for each change of the list

The first line out says what was negotiated. The session ends with stdin.
"""

import argparse
import json
import os
import sys

import anyio


def arguments(about, modes):
    """MODE and the target: a URL, or `--` and a command that speaks over stdio."""
    parser = argparse.ArgumentParser(description=about, epilog="The bearer token is in WEFT_TOKEN.")
    parser.add_argument("mode", choices=modes)
    parser.add_argument("target", nargs="+", metavar="URL | -- COMMAND")
    return parser.parse_args()


def headers():
    """What goes with each request over HTTP. A token on a command line would be seen by `ps`."""
    token = os.environ.get("WEFT_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def say(step, **what):
    print(json.dumps({"step": step, **what}), flush=True)


def result(answer):
    """Of a CallToolResult, as JSON has it, what the tests look at."""
    texts = [block["text"] for block in answer["content"] if block["type"] == "text"]
    return {"isError": bool(answer.get("isError")), "text": "\n".join(texts)}


def failure(error):
    """An error of either SDK: what the server said, or what the client makes of it."""
    said = getattr(error, "error", None)
    if said is None:
        return {"message": f"{type(error).__name__}: {error}"}
    return {"code": said.code, "message": said.message, "data": said.data}


async def run(client):
    """Does the steps one after another; `watch` goes on beside those that follow it."""
    async with anyio.create_task_group() as beside:
        async for line in anyio.wrap_file(sys.stdin):
            step = json.loads(line)
            name = step.pop("step")
            try:
                if name == "watch":
                    await beside.start(client.watch)
                else:
                    await getattr(client, name)(**step)
            except Exception as error:  # whatever it is, the test shall see it
                say(name, error=failure(error))
        beside.cancel_scope.cancel()
