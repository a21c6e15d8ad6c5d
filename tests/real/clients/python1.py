#!/usr/bin/env python3
"""A client on the Python SDK 1.30: the older era, and no other.

    bin/python1 python1.py legacy URL
    bin/python1 python1.py legacy -- COMMAND ARG…

steps.py says what goes in and out.
"""

import contextlib

import anyio
import mcp.types as types
import steps
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client


class Steps:
    def __init__(self):
        self.changed, self.changes = anyio.create_memory_object_stream(100)
        self.streaming = anyio.Event()
        self.session = None

    @contextlib.asynccontextmanager
    async def transport(self, target):
        if not target[0].startswith("http"):
            self.streaming.set()
            command = StdioServerParameters(command=target[0], args=target[1:])
            async with stdio_client(command) as streams:
                yield streams
            return
        async with create_mcp_http_client(headers=steps.headers()) as http:
            http.event_hooks = {"response": [self.answered]}
            async with streamable_http_client(target[0], http_client=http) as streams:
                yield streams[:2]

    async def answered(self, response):
        """The GET is the stream that announces; the SDK does not say when it is up."""
        if response.request.method == "GET" and response.is_success:
            self.streaming.set()

    async def heard(self, message):
        method = getattr(getattr(message, "root", None), "method", "")
        if method.endswith("/list_changed"):
            await self.changed.send(method)

    async def names(self):
        page = await self.session.list_tools()
        names = [tool.name for tool in page.tools]
        while page.nextCursor:
            more = types.PaginatedRequestParams(cursor=page.nextCursor)
            page = await self.session.list_tools(params=more)
            names += [tool.name for tool in page.tools]
        return names

    async def list(self):
        steps.say("list", tools=await self.names())

    async def request(self, tool, arguments, on_progress=None):
        answer = await self.session.call_tool(tool, arguments, progress_callback=on_progress)
        return steps.result(answer.model_dump(by_alias=True, mode="json"))

    async def call(self, tool, arguments):
        steps.say("call", **await self.request(tool, arguments))

    async def progress(self, tool, arguments):
        async def each(progress, total, _message):
            steps.say("progress", progress=progress, total=total)

        steps.say("progress", **await self.request(tool, arguments, each))

    async def cancel(self, tool, arguments):
        # The SDK sends no cancellation of its own, and its requests do not show their ids.
        call = self.session._request_id
        with anyio.CancelScope() as scope:
            async def first(progress, _total, _message):
                steps.say("cancel", progress=progress)
                scope.cancel()

            steps.say("cancel", **await self.request(tool, arguments, first))
        params = types.CancelledNotificationParams(requestId=call, reason="the test wants it")
        notification = types.CancelledNotification(params=params)
        await self.session.send_notification(types.ClientNotification(notification))
        how = "notifications/cancelled"
        steps.say("cancel", cancelled=scope.cancelled_caught, how=how)

    async def watch(self, *, task_status):
        await self.streaming.wait()
        steps.say("watch", listening=True)
        task_status.started()
        async for _method in self.changes:
            steps.say("watch", tools=await self.names())


async def main():
    args = steps.arguments(__doc__.split("\n")[0], ["legacy"])
    steps_of = Steps()
    async with (
        steps_of.transport(args.target) as streams,
        ClientSession(*streams, message_handler=steps_of.heard) as session,
    ):
        steps_of.session = session
        opened = await session.initialize()
        steps.say("open", version=opened.protocolVersion)
        await steps.run(steps_of)


if __name__ == "__main__":
    anyio.run(main)
