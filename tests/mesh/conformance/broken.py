"""The native server of the examples, with one thing wrong: broken.py FAULT

Each fault is what a hasty author might write. `weft conformance` must find it, and nothing else.
"""

import asyncio, json, pathlib, sys, time, uuid

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "examples/native/python"))
import member, server, trust
from member import Call, Member
from trust import Refused, Trust


def wrap(owner, name, make):
    """Puts `make(original)` in its place."""
    setattr(owner, name, make(getattr(owner, name)))


def number(change):
    """Answers under another id."""
    def make(end):
        async def changed(call, *args, **more):
            call.number = change(call.number)
            await end(call, *args, **more)
        return changed
    wrap(Call, "end", make)


def body(change):
    """Publishes other bodies and headers on reply subjects."""
    def make(join):
        async def changed(self):
            connect = member.wire.connect

            async def connected(denied):
                nc = await connect(denied)
                publish = nc.publish

                async def other(subject, payload=b"", reply="", headers=None):
                    if not subject.startswith("weft.v1.rep."):
                        return await publish(subject, payload, reply, headers)
                    for said in change(payload, headers):
                        await publish(subject, said[0], reply, said[1])

                nc.publish = other
                return nc

            member.wire.connect = connected
            await join(self)
        return changed
    wrap(Member, "join", make)


def terminal(change):
    """Publishes another terminal."""
    def make(payload, headers):
        if "Weft-Frame" in (headers or {}):
            return [(payload, headers)]
        said = json.loads(payload)
        change(said)
        return [(json.dumps(said, ensure_ascii=False).encode(), headers)]
    body(make)


def data(change):
    """Says other `error.data`."""
    def make(fault):
        def changed(call, error):
            said = fault(call, error)
            change(said["data"])
            return said
        return changed
    wrap(Call, "fault", make)


def refuses(kind, code=None, as_kind=None):
    """Refuses one thing by another name."""
    def make(init):
        def changed(self, own, own_kind, *args, **more):
            same = own_kind == kind
            init(self, code if same and code else own, as_kind if same and as_kind else own_kind, *args, **more)
        return changed
    wrap(Refused, "__init__", make)


def header(sent, read):
    wrap(member, "terms", lambda terms: lambda said: terms(read if said == sent else said))


def late_is_fine():
    def make(check):
        def changed(call):
            own, now = call.call, f"{int(time.time() * 1000):012x}"
            call.call = max(own[:12], now) + own[12:]
            try:
                check(call)
            finally:
                call.call = own
        return changed
    wrap(Call, "check", make)


def any_body():
    def make(check):
        def changed(call):
            asked = json.loads(call.message.data) if call.message.data[:1] == b"{" and call.message.data[1:2] == b'"' else {}
            if asked.get("method") == "server/discover":
                call.subject = "server.discover._"
            check(call)
        return changed
    wrap(Call, "check", make)


def any_reply():
    member.REPLY = member.re.compile(rf"weft\.v1\.rep\.([^.]+)\.[a-z0-9]+\.{member.ME}\.(.+)")

    def make(check):
        def changed(call):
            try:
                check(call)
            except ValueError:
                raise Refused(-32600, "INVALID_REQUEST", "no call id") from None
        return changed
    wrap(Call, "check", make)
    wrap(Call, "correlation", lambda own: lambda call: own(call) if len(call.call) == 32 else "")


def any_caller():
    def make(check):
        def changed(self, token, caller, *args):
            text = token()
            try:
                caller = json.loads(trust.unb64(text.split(".")[1]))["sub"]
            except Exception:
                pass  # no token at all: refused for that
            check(self, lambda: text, caller, *args)
        return changed
    wrap(Trust, "check", make)


def any_signature():
    def make(open_):
        def changed(self, text, typ, most):
            head, _, rest = text.partition(".")
            known = rest and json.loads(trust.unb64(head)).get("kid") in self.keys
            return json.loads(trust.unb64(rest.split(".")[0])) if known else open_(self, text, typ, most)
        return changed
    wrap(Trust, "open", make)


def any_audience():
    def make(check):
        def changed(self, token, *args):
            text = token()
            if b'"weft:connect"' not in trust.unb64((text.split(".") + [""])[1]):
                check(self, lambda: text, *args)
        return changed
    wrap(Trust, "check", make)


def no_ack():
    async def silent(call):
        await asyncio.sleep(60)
    Call.keep_alive = silent


def frames(change):
    """Sends other frames: (kind, body) by the number of the `msg`."""
    def make(frame):
        async def changed(call, kind, body=b"", **more):
            if kind.startswith("msg;"):
                kind, body = change(int(kind[4:]), body)
            await frame(call, kind, body, **more)
        return changed
    wrap(Call, "frame", make)


def count_more():
    def make(end):
        async def changed(call, *args, **more):
            call.frames += bool(call.frames)
            await end(call, *args, **more)
        return changed
    wrap(Call, "end", make)


def always_tells():
    def make(progress):
        async def changed(call, *args):
            call.params.setdefault("_meta", {}).setdefault("progressToken", "mine")
            await progress(call, *args)
        return changed
    wrap(Call, "progress", make)


def cancel(find):
    async def changed(self, message):
        _, task = self.running.get(message.data.decode(errors="replace"), (None, None))
        if task and find(message):
            task.cancel()
    Member.cancel = changed


def endpoint(verb, change):
    def make(endpoint):
        def changed(self, asked, name):
            said = endpoint(self, asked, name)
            if asked == verb:
                change(said)
            return said
        return changed
    wrap(Member, "endpoint", make)


def answers_anywhere():
    def make(micro):
        async def changed(self, message):
            own, message.reply = message.reply, "weft.v1.srv.x"
            publish, self.nc.publish = self.nc.publish, lambda _, said: publish(own, said)
            try:
                await micro(self, message)
            finally:
                self.nc.publish = publish
        return changed
    wrap(Member, "micro", make)


def beats(change):
    def make(join):
        async def changed(self):
            await join(self)
            publish = self.nc.publish

            async def other(subject, payload=b"", *args, **more):
                if subject.startswith("weft.v1.hb."):
                    said = json.loads(payload)
                    change(said)
                    payload = json.dumps(said).encode()
                await publish(subject, payload, *args, **more)

            self.nc.publish = other
        return changed
    wrap(Member, "join", make)


def without_service_headers(payload, headers):
    kept = {name: value for name, value in (headers or {}).items() if not name.startswith("Nats-Service-Error")}
    return [(payload, kept or None)]


def twice(payload, headers):
    return [(payload, headers)] * (1 if "Weft-Frame" in (headers or {}) else 2)


def swapped(n, body):
    return f"msg;{ {1: 2, 2: 1}.get(n, n) }", body


FAULTS = {
    "none": lambda: None,
    "discover": lambda: terminal(lambda said: said.get("result", {}).pop("supportedVersions", None)),
    "tools-list": lambda: terminal(lambda said: [tool.pop("name") for tool in said.get("result", {}).get("tools", [])]),
    "response": lambda: terminal(lambda said: said.update(jsonrpc="1.0")),
    "id-string": lambda: number(lambda id: id.upper() if id == "a1" else id),
    "id-number": lambda: number(lambda id: str(id) if isinstance(id, int) else id),
    "id-unicode": lambda: number(lambda id: id.encode("ascii", "replace").decode() if isinstance(id, str) else id),
    "one-terminal": lambda: body(twice),
    "unknown-method": lambda: refuses("METHOD_NOT_FOUND", code=-32603),
    "not-json": lambda: refuses("PARSE_ERROR", code=-32600),
    "subject-and-body": any_body,
    "foreign-reply": any_reply,
    "unknown-version": lambda: header("2", "1"),
    "broken-value": lambda: header("1;ms=soon", "1"),
    "correlation": lambda: header("1;corr=a/b", "1"),
    "expired": late_is_fine,
    "data": lambda: data(lambda said: said.pop("timestamp")),
    "started": lambda: data(lambda said: said.update(started="maybe")),
    "headers": lambda: body(without_service_headers),
    "request-id": lambda: setattr(Call, "correlation", lambda call: str(uuid.uuid4())),
    "no-token": lambda: refuses("TOKEN_MISSING", code=-32004),
    "forged": any_signature,
    "unknown-reference": lambda: refuses("TOKEN_UNKNOWN", as_kind="TOKEN_INVALID"),
    "connect-token": any_audience,
    "wrong-caller": any_caller,
    "not-permitted": lambda: setattr(Trust, "permits", staticmethod(lambda *_: True)),
    "ack": no_ack,
    "numbers": lambda: frames(swapped),
    "notifications": lambda: frames(lambda n, body: (f"msg;{n}", body.replace(b"conformance-progress", b"other"))),
    "count": count_more,
    "unasked": always_tells,
    "cancel": lambda: cancel(lambda message: False),
    "anothers-cancel": lambda: cancel(lambda message: True),
    "info": lambda: endpoint("INFO", lambda said: said["metadata"].pop("digest")),
    "stats": lambda: endpoint("STATS", lambda said: said.pop("num_errors")),
    "elsewhere": answers_anywhere,
    "heartbeat": lambda: beats(lambda said: said.update(state="degraded")),
    "tools": lambda: beats(lambda said: said["tools"].update(count=7)),
}

FAULTS[sys.argv[1]]()
asyncio.run(server.main())
