"""What a caller and a server have in common: who we are, names, call ids, and a call itself.

Each part names its section of docs/protocol.md.
"""

import asyncio, base64, hashlib, hmac, json, os, secrets, time

import nats

URL = os.environ.get("WEFT_NATS_URL", "nats://127.0.0.1:4222")
TOKEN = os.environ.get("WEFT_TOKEN") or open(os.environ["WEFT_TOKEN_FILE"]).read().strip()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64(data) != text:
        raise ValueError("not base64url")
    return data


# "Tokens for access": whoever holds a token may read it; whoever gets it verifies it.
HELD = json.loads(unb64(TOKEN.split(".")[1]))
ME, CONNECTION = HELD["sub"], secrets.token_hex(8)


NAMED = {"tools/call": "name", "prompts/get": "name", "tasks/get": "taskId", "tasks/update": "taskId",
         "tasks/cancel": "taskId", "resources/read": "uri", "resources/subscribe": "uri", "resources/unsubscribe": "uri"}


def operation(method, params):  # "Names and tokens": {method…}.{name}
    return f"{method.replace('/', '.')}.{name_token(params[NAMED[method]], NAMED[method]) if method in NAMED else '_'}"


def name_token(name, member="name"):
    data = name.encode()
    if len(data) > 100 or member == "uri":
        return "=h" + base64.b32encode(hashlib.sha256(data).digest()).decode().lower()[:26]
    plain = lambda byte: chr(byte).isascii() and (chr(byte).isalnum() or byte in b"_-")
    return "=5F" if name == "_" else "".join(chr(b) if plain(b) else f"={b:02X}" for b in data)


def call_id():  # a UUIDv7 in hex
    random = 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return f"{time.time_ns() // 1_000_000 << 80 | random:032x}"


def delivery():  # "Names and tokens": {n}
    return secrets.token_hex(16).translate(str.maketrans("0189", "ghij"))


async def connect(denied, connection=CONNECTION):
    """`denied` hears of what the broker does not let us do: it says so by no other way."""
    prefix = f"weft.v1.inb.{ME}.{connection}"
    return await nats.connect(URL, token=TOKEN, inbox_prefix=prefix, name=f"native {ME}", error_cb=denied)


async def call(nc, server, method, params, token=None, seconds=30, notify=lambda notification: None):
    """"A call": the response, as the server wrote it. Given up or cancelled, the server hears of it."""
    call = call_id()
    reply = f"weft.v1.rep.{ME}.{CONNECTION}.{server}.{call}"
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    headers = {"Weft": f"1;ms={seconds * 1000}"} | ({"Authorization": f"Bearer {token}"} if token else {})
    answers = await nc.subscribe(reply)
    await nc.publish(f"weft.v1.req.{ME}.{server}.{operation(method, params)}", body.encode(), reply, headers)
    try:
        return await asyncio.wait_for(terminal(answers.messages, server, notify), seconds)
    except (asyncio.TimeoutError, asyncio.CancelledError):
        await nc.publish(f"weft.v1.ctl.{ME}.{server}.cancel", call.encode())  # "Cancelling"
        await nc.flush()
        raise
    finally:
        await answers.unsubscribe()


async def terminal(messages, server, notify):  # "Frames"
    async for message in messages:
        said = message.headers or {}
        if said.get("Status") == "503":
            raise ConnectionError(f"no instance of {server} is there")
        if said.get("Weft-Frame", "").startswith("msg;"):
            notify(json.loads(message.data))
        elif "Weft-Frame" not in said and "parts=" in said.get("Weft", ""):
            raise OverflowError("the answer comes in parts, which this client does not take")
        elif "Weft-Frame" not in said and "Nats-Stream" not in said:
            return json.loads(message.data)


LATER = (-32005, -32006, -32008, -32603)  # "Errors": what may go well a little later


async def control(nc, tool, arguments, token=None):
    """A tool of the server `weft`; some need no token."""
    answer = await call(nc, "weft", "tools/call", {"name": tool, "arguments": arguments}, token, seconds=5)
    if "error" in answer:
        kind = ConnectionError if answer["error"]["code"] in LATER else PermissionError
        raise kind(answer["error"]["message"])
    return answer["result"]["structuredContent"]


async def exchange(nc):  # "Exchange": {token, expiresAt, anchor}
    at, nonce = int(time.time()), secrets.token_urlsafe(24)
    text = f"weft:token_exchange:{ME}:{at}:{nonce}".encode()
    proof = b64(hmac.new(hashlib.sha256(TOKEN.encode()).digest(), text, hashlib.sha256).digest())
    return await control(nc, "token_exchange", {"jti": HELD["jti"], "at": at, "nonce": nonce, "proof": proof})
