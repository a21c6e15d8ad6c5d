"""A server's place on the mesh: takes calls, checks them, answers, and says that it lives."""

import asyncio, datetime, hashlib, json, re, secrets, sys, time, uuid

import wire
from trust import Refused, Trust, read
from wire import ME

INSTANCE = secrets.token_hex(8)
REQUEST = re.compile(rf"weft\.v1\.req\.([A-Za-z0-9_-]{{1,63}})\.{ME}\.(.+)")
REPLY = re.compile(rf"weft\.v1\.rep\.([^.]+)\.[a-z0-9]{{1,32}}\.{ME}\.([0-9a-f]{{12}}7[0-9a-f]{{3}}[89ab][0-9a-f]{{15}})")
NUMBERS, WORDS = {"ms", "try", "parts", "size", "frames"}, {"ref", "corr", "key", "inst", "sha"}


def terms(header):  # "The `Weft` header"
    version, *fields = header.split(";")
    terms = dict(field.partition("=")[::2] for field in fields)
    good = version == "1" and len(header) <= 1024 and all("=" in field for field in fields)
    good &= all(re.fullmatch(r"\d{1,19}", terms[key]) for key in NUMBERS & set(terms))
    good &= all(re.fullmatch(r"[!-~]+", terms[key]) for key in WORDS & set(terms))
    if not good or int(terms.get("try", 1)) > 255:
        raise Refused(-32600, "HEADER_MISMATCH", "the `Weft` header can't be read")
    return terms


class Call:
    """One call, and where it is answered."""

    def __init__(self, nc, message):
        self.nc, self.message, self.reply, self.frames, self.number = nc, message, message.reply, 0, None
        self.caller, self.subject = REQUEST.fullmatch(message.subject).groups()
        self.call = REPLY.fullmatch(message.reply)[2]
        self.terms, self.method, self.params = {}, "", {}

    async def frame(self, kind, body=b"", **fields):  # "Frames"
        more = {"Weft": ";".join(["1", *(f"{key}={value}" for key, value in fields.items())])} if fields else {}
        await self.nc.publish(self.reply, body, headers={"Weft-Frame": kind, **more})

    async def keep_alive(self):
        await asyncio.sleep(0.05)
        await self.frame("ack", inst=INSTANCE)
        while True:
            await asyncio.sleep(15)
            await self.frame("ka", inst=INSTANCE)

    async def progress(self, done, total):
        token = self.params.get("_meta", {}).get("progressToken")
        if token is not None:
            params = {"progressToken": token, "progress": done, "total": total}
            said = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
            self.frames += 1
            await self.frame(f"msg;{self.frames}", json.dumps(said).encode())

    def check(self):  # "What a server checks", 6 to 11
        said = self.message.headers or {}
        self.terms = terms(said.get("Weft", "1"))
        if "parts" in self.terms and "size" in self.terms:
            raise Refused(-32600, "REQUEST_TOO_LARGE", "this server takes no request in parts")
        try:
            body = read(self.message.data)
        except ValueError as error:
            twice = "twice" in str(error)
            raise Refused(*((-32600, "INVALID_REQUEST") if twice else (-32700, "PARSE_ERROR")), str(error)) from None
        if not isinstance(body, dict) or body.get("jsonrpc") != "2.0" or not isinstance(body.get("method"), str):
            raise Refused(-32600, "INVALID_REQUEST", "the body is no JSON-RPC 2.0 request")
        if type(body.get("id")) not in (str, int) or type(body.get("params", {})) is not dict:
            raise Refused(-32600, "INVALID_REQUEST", "a call has an id, a string or an integer, and its params are an object")
        self.number, self.method, self.params = body["id"], body["method"], body.get("params", {})
        try:
            same = wire.operation(self.method, self.params) == self.subject
        except (KeyError, AttributeError):
            raise Refused(-32600, "INVALID_REQUEST", "the name is missing") from None
        if not same:
            raise Refused(-32600, "HEADER_MISMATCH", "the body does not ask for what the subject says")
        age = time.time() * 1000 - int(self.call[:12], 16)  # "Time"
        if age < -2000:
            raise Refused(-32600, "INVALID_REQUEST", f"the call is {-age / 1000:.1f} s ahead of the clock here")
        if age > int(self.terms.get("ms", 30000)) + 2000:
            raise Refused(-32005, "TIMEOUT", f"the call was {age / 1000:.1f} s under way")
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", self.terms.get("corr", "derived")):
            raise Refused(-32600, "INVALID_REQUEST", "`corr` is no correlation id")

    def token(self):  # 13: this server remembers no tokens, so a reference says nothing to it
        scheme, _, token = (self.message.headers or {}).get("Authorization", "").partition(" ")
        if scheme != "Bearer" and "ref" in self.terms:
            raise Refused(-32007, "TOKEN_UNKNOWN", "send the token whole")
        if scheme != "Bearer":
            raise Refused(-32007, "TOKEN_MISSING", "no token: this call needs one")
        return token

    async def end(self, result=None, error=None):
        """The terminal."""
        word = {"result": result} if error is None else {"error": self.fault(error)}
        body = json.dumps({"jsonrpc": "2.0", "id": self.number, **word}, ensure_ascii=False).encode()
        if error is None and len(body) > self.nc.max_payload - 4096:
            return await self.end(error=Refused(-32002, "RESULT_TOO_LARGE", "too large", started="yes"))
        headers = {"Weft": f"1;frames={self.frames}"} if self.frames else {}
        if error is not None:
            plain = "".join(c if "!" <= c <= "~" else " " for c in str(error))[:512]
            headers |= {"Nats-Service-Error": plain, "Nats-Service-Error-Code": str(error.code)}
        await self.nc.publish(self.reply, body, headers=headers or None)

    def fault(self, error):  # "Errors"
        context = {"serverName": ME, "operation": f"{self.method} {self.params.get('name', '')}".strip(),
                   "requestId": self.terms.get("corr") or self.correlation()}
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        data = {"weftCode": error.code, "kind": error.kind, "origin": "adapter", "started": "no", "context": context,
                "timestamp": now.replace("+00:00", "Z"), "serverName": ME, **error.more}
        return {"code": error.code, "message": str(error), "data": data}

    def correlation(self):  # "Correlation and trace context"
        call = bytes.fromhex(self.call)
        bits = bytearray(call[:6] + hashlib.sha256(call).digest()[:10])
        bits[6], bits[8] = bits[6] & 0x0F | 0x70, bits[8] & 0x3F | 0x80
        return str(uuid.UUID(bytes=bytes(bits)))


class Member:
    """`answer(call)` gives the result of a call that may run, or raises `Refused`."""

    def __init__(self, answer, tools):
        self.answer, self.running, self.since = answer, {}, int(time.time() * 1000)
        digest = lambda value: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
        self.tools = {tool["name"]: digest(tool) for tool in tools}
        self.counts = {name: [0, 0, 0] for name in self.tools}  # calls, failed, nanoseconds

    async def join(self):
        async def denied(error):
            print(f"the broker: {error}", file=sys.stderr)

        self.nc = await wire.connect(denied)
        self.trust = Trust((await wire.exchange(self.nc))["anchor"])
        self.lease = {"deliver": wire.delivery()}
        first = asyncio.Event()

        async def snapshot(message):
            try:
                self.trust.apply(message.data.decode())
                first.set()
            except Exception as error:  # not signed by whom we believe: it says nothing
                print(f"a snapshot was dropped: {error!r}", file=sys.stderr)

        await self.nc.subscribe(f"weft.v1.dlv.{ME}.{self.lease['deliver']}", cb=snapshot)
        await wire.control(self.nc, "trust_open", self.lease)
        await asyncio.wait_for(first.wait(), 5)
        await self.nc.subscribe(f"weft.v1.ctl.*.{ME}.cancel", cb=self.cancel)
        for verb in ("PING", "INFO", "STATS"):
            for end in ("", f".{ME}", f".{ME}.{INSTANCE}"):
                await self.nc.subscribe(f"$SRV.{verb}{end}", cb=self.micro)
        self.calls = await self.nc.subscribe(f"weft.v1.req.*.{ME}.>", queue="weft", cb=self.take)
        await self.nc.flush()

    async def stay(self):
        """Heartbeats, and the lease on snapshots, until it is cancelled; then goodbye."""
        try:
            while True:
                await self.beat("healthy")
                await asyncio.sleep(5)
                try:
                    await wire.control(self.nc, "trust_open", self.lease)
                except (ConnectionError, PermissionError, asyncio.TimeoutError) as error:
                    print(f"the lease on snapshots: {error!r}; next try in 5 s", file=sys.stderr)
        finally:
            await self.calls.unsubscribe()
            if self.running:
                await asyncio.wait([task for _, task in self.running.values()], timeout=5)
            await self.beat("left")
            await self.nc.drain()

    async def beat(self, state):  # "Heartbeats"
        entries = [{"name": name, "digest": digest} for name, digest in self.tools.items()]
        digest = hashlib.sha256("".join(self.tools.values()).encode()).hexdigest()[:32]
        beat = {"server": ME, "instance": INSTANCE, "version": "0.1.0", "state": state, "since": self.since,
                "sentAt": int(time.time() * 1000), "transport": "native",
                "tools": {"count": len(entries), "digest": digest, "list": entries}}
        await self.nc.publish(f"weft.v1.hb.{ME}.{INSTANCE}", json.dumps(beat).encode())

    async def take(self, message):  # "What a server checks", 1 to 4
        to = REPLY.fullmatch(message.reply or "")
        place = REQUEST.fullmatch(message.subject)
        if not place or not to or to[1] not in (place[1], "gateway") or "Nats-Stream" in (message.headers or {}):
            return
        call = Call(self.nc, message)
        if call.call in self.running:
            await call.end(error=Refused(-32600, "INVALID_REQUEST", "this call is under way"))
        elif len(self.running) >= 256:
            await call.end(error=Refused(-32006, "SERVER_OVERLOADED", "256 calls are under way", retryAfterMs=250))
        else:
            self.running[call.call] = call.caller, asyncio.create_task(self.run(call))

    async def run(self, call):
        alive, began, failed = asyncio.create_task(call.keep_alive()), time.time_ns(), True
        try:
            call.check()
            self.trust.check(call.token, call.caller, call.method, call.params.get("name"))
            left = int(call.terms.get("ms", 30000)) / 1000
            result = await asyncio.wait_for(self.answer(call), left)
            failed = result.get("isError", False)
            alive.cancel()
            await call.end(result)
        except asyncio.CancelledError:
            print(f"cancelled: {call.method} {call.params.get('name', '')}", file=sys.stderr, flush=True)
        except (Refused, asyncio.TimeoutError) as error:
            late = Refused(-32005, "TIMEOUT", "the caller's time is over", started="maybe")
            await call.end(error=error if isinstance(error, Refused) else late)
        finally:
            alive.cancel()
            del self.running[call.call]
            count = self.counts.get(call.params.get("name"), [0, 0, 0])
            count[:] = count[0] + 1, count[1] + failed, count[2] + time.time_ns() - began

    async def cancel(self, message):  # "Cancelling": of that caller's, and no terminal
        caller, task = self.running.get(message.data.decode(errors="replace"), (None, None))
        if task and message.subject == f"weft.v1.ctl.{caller}.{ME}.cancel":
            task.cancel()

    async def micro(self, message):  # "Heartbeats": as NATS micro services do
        if not message.reply.startswith("weft.v1.srv."):
            return
        verb = message.subject.split(".")[1]
        say = {"type": f"io.nats.micro.v1.{verb.lower()}_response", "name": ME, "id": INSTANCE, "version": "0.1.0",
               "metadata": {"weft.tools": str(len(self.tools))}}
        if verb != "PING":
            say |= {"endpoints": [self.endpoint(verb, name) for name in self.tools]}
        if verb == "INFO":
            say["description"] = "a native member"
        if verb == "STATS":
            say["started"] = datetime.datetime.fromtimestamp(self.since / 1000, datetime.timezone.utc).isoformat()
        await self.nc.publish(message.reply, json.dumps(say).encode())

    def endpoint(self, verb, name):
        token = wire.name_token(name)
        say = {"name": token.replace("=", "_"), "subject": f"weft.v1.req.*.{ME}.tools.call.{token}", "queue_group": "weft"}
        if verb == "INFO":
            return say | {"metadata": {"tool": name, "digest": self.tools[name]}}
        calls, failed, time = self.counts[name]
        return say | {"num_requests": calls, "num_errors": failed, "last_error": "", "processing_time": time,
                      "average_processing_time": time // max(calls, 1)}
