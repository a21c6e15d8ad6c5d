"""An MCP server on the mesh, without Weft in between: its tools, and what it answers.

    WEFT_NATS_URL=… WEFT_TOKEN_FILE=… python server.py

The name of the server is that of its token: `weft token issue adder --allow 'serve:tools/adder/*'`.
"""

import asyncio, signal

from member import Member, Refused
from wire import ME

NUMBER = {"type": "number"}
TOOLS = [
    {"name": "add", "description": "Adds two numbers.",
     "inputSchema": {"type": "object", "required": ["a", "b"], "properties": {"a": NUMBER, "b": NUMBER}}},
    {"name": "count", "description": "Counts, a number every so many seconds, and tells how far it is.",
     "inputSchema": {"type": "object", "required": ["to"], "properties": {"to": {"type": "integer"}, "every": NUMBER}}},
    {"name": "größe", "description": "Says how many characters a text has.",
     "inputSchema": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}},
]


async def run(name, given, call):
    if name == "add":
        return str(given["a"] + given["b"])
    if name == "größe":
        return str(len(given["text"]))
    for n in range(1, given["to"] + 1):
        await asyncio.sleep(given.get("every", 0.2))
        await call.progress(n, given["to"])
    return f"counted to {given['to']}"


async def answer(call):
    info = {"resultType": "complete", "_meta": {"io.modelcontextprotocol/serverInfo": {"name": ME, "version": "0.1.0"}}}
    cached = {"ttlMs": 0, "cacheScope": "private"}
    if call.method == "server/discover":
        return {**info, **cached, "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
    if call.method == "tools/list":
        return {**info, **cached, "tools": TOOLS}
    if call.method != "tools/call":
        raise Refused(-32601, "METHOD_NOT_FOUND", f"`{call.method}` is no method of this server")
    tool, given = call.params["name"], call.params.get("arguments", {})
    known = next((known for known in TOOLS if known["name"] == tool), None)
    if not known:
        raise Refused(-32001, "TOOL_NOT_FOUND", f"`{tool}` is no tool of this server")
    try:
        return {**info, "content": [{"type": "text", "text": await run(tool, given, call)}], "isError": False}
    except (KeyError, TypeError) as error:  # the tool's own trouble is a result
        return {**info, "content": [{"type": "text", "text": f"bad arguments: {error}"}], "isError": True}


async def main():
    member = Member(answer, TOOLS)
    await member.join()
    print(f"{ME} serves", flush=True)
    staying = asyncio.create_task(member.stay())
    for end in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(end, staying.cancel)
    await asyncio.wait([staying])


if __name__ == "__main__":
    asyncio.run(main())
