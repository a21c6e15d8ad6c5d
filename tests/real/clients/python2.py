#!/usr/bin/env python3
"""A client on the Python SDK 2.3, of both eras.

    bin/python python2.py auto|legacy|2026-07-28 URL
    bin/python python2.py auto|legacy|2026-07-28 -- COMMAND ARG…

steps.py says what goes in and out. `auto` asks the server what it speaks, `2026-07-28` asks
nothing, and `legacy` shakes hands.
"""

import anyio
import steps
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

MODERN = "2026-07-28"


class Steps:
    def __init__(self, mode, target):
        self.changed, self.changes = anyio.create_memory_object_stream(100)
        self.streaming = anyio.Event()
        self.client = Client(self.transport(target), mode=mode, message_handler=self.heard)

    def transport(self, target):
        if target[0].startswith("http"):
            http = create_mcp_http_client(headers=steps.headers())
            http.event_hooks = {"response": [self.answered]}
            return streamable_http_client(target[0], http_client=http)
        self.streaming.set()
        return StdioServerParameters(command=target[0], args=target[1:])

    async def answered(self, response):
        """In the older era the GET is the stream that announces; the SDK does not say when it is up."""
        if response.request.method == "GET" and response.is_success:
            self.streaming.set()

    async def heard(self, message):
        method = getattr(message, "method", "")
        if method.endswith("/list_changed"):
            await self.changed.send(method)

    async def names(self):
        page = await self.client.list_tools()
        names = [tool.name for tool in page.tools]
        while page.next_cursor:
            page = await self.client.list_tools(cursor=page.next_cursor)
            names += [tool.name for tool in page.tools]
        return names

    async def list(self):
        steps.say("list", tools=await self.names())

    async def request(self, tool, arguments, on_progress=None):
        answer = await self.client.call_tool(tool, arguments, progress_callback=on_progress)
        return steps.result(answer.model_dump(by_alias=True, mode="json"))

    async def call(self, tool, arguments):
        steps.say("call", **await self.request(tool, arguments))

    async def progress(self, tool, arguments):
        async def each(progress, total, _message):
            steps.say("progress", progress=progress, total=total)

        steps.say("progress", **await self.request(tool, arguments, each))

    async def cancel(self, tool, arguments):
        with anyio.CancelScope() as scope:
            async def first(progress, _total, _message):
                steps.say("cancel", progress=progress)
                scope.cancel()

            steps.say("cancel", **await self.request(tool, arguments, first))
        modern = self.client.protocol_version == MODERN
        how = "request closed" if modern else "notifications/cancelled"
        steps.say("cancel", cancelled=scope.cancelled_caught, how=how)

    async def watch(self, *, task_status):
        if self.client.protocol_version == MODERN:
            async with self.client.listen(tools_list_changed=True) as events:
                steps.say("watch", listening=True)
                task_status.started()
                async for _event in events:
                    steps.say("watch", tools=await self.names())
        await self.streaming.wait()
        steps.say("watch", listening=True)
        task_status.started()
        async for _method in self.changes:
            steps.say("watch", tools=await self.names())


async def main():
    args = steps.arguments(__doc__.split("\n")[0], ["auto", "legacy", MODERN])
    session = Steps(args.mode, args.target)
    async with session.client as client:
        steps.say("open", version=client.protocol_version)
        await steps.run(session)


if __name__ == "__main__":
    anyio.run(main)
