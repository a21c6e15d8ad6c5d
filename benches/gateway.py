#!/usr/bin/env python3
"""What a call costs through the gateway, beside the mcp-proxy crate, in one run.

    benches/gateway.py WEFT [--rounds N] [--slice SECONDS] [--minute SECONDS] [--json FILE]

Both stand before the same server (`echo` of server-everything over stdio, a process each), and
`wrk` asks them in turn, at 1 and at 16 connections: the older era on both, which is what the crate
speaks, and the newer one on the gateway besides. Machines breathe, so each round gives a ratio,
and the median of the ratios counts. The bare NATS round trip is that of `weft bench call`, in
the same run. Then a minute of load each, and what it left of memory and file handles.

Prints a table, and whether each target is met; the exit status is 1 where one is not. WEFT is a
release build. What is missing is installed: mcp-proxy into .tools (about 12 minutes), wrk by apt.
Standard library only.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
TOOLS = ROOT / ".tools"
EVERYTHING = TOOLS / "real/bin/server-everything"
NATS = TOOLS / "nats/bin/nats-server"
PROXY = TOOLS / "mcp-proxy"
PROXY_VERSION = "0.6.0"
LEGACY = "2025-11-25"

RATE_TARGET = 0.7
ROUND_TRIPS_TARGET = 1.5
MEMORY_TARGET = 1.10  # of what it was
HANDLES_TARGET = 8
START_SECONDS = 60
SETTLE_SECONDS = 5


def fail(text):
    sys.exit(f"gateway.py: {text}")


def install():
    if not shutil.which("wrk"):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            fail("`wrk` is not on the PATH: install it (Debian: apt install wrk)")
        subprocess.run(["apt-get", "install", "--yes", "--quiet", "wrk"], check=True,
                       stdout=subprocess.DEVNULL)
    if not (PROXY / "bin/mcp-proxy").exists():
        print("gateway.py: installing mcp-proxy, about 12 minutes", file=sys.stderr)
        subprocess.run(["nice", "-n", "19", "cargo", "install", "mcp-proxy", "--locked",
                        "--version", PROXY_VERSION, "--root", PROXY, "-j1"], check=True)


class Side:
    """A gateway that serves: where, as what process, and what its requests need."""

    def __init__(self, name, url, tool, pid, token=""):
        self.name, self.url, self.tool, self.pid, self.token = name, url, tool, pid, token
        self.session = ""

    def post(self, message, method=None):
        headers = {"Content-Type": "application/json",
                   "Accept": "application/json, text/event-stream"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.session:
            headers |= {"Mcp-Session-Id": self.session, "MCP-Protocol-Version": LEGACY}
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        request = urllib.request.Request(self.url, body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.headers.get("Mcp-Session-Id"), answer.read().decode()

    def open(self):
        """A session of the older era, which answers."""
        self.session, _ = self.post({"id": 1, "method": "initialize", "params": {
            "protocolVersion": LEGACY, "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"}}})
        if not self.session:
            fail(f"{self.name} gave no session")
        self.post({"method": "notifications/initialized"})
        deadline = time.monotonic() + START_SECONDS
        call = {"id": 2, "method": "tools/call",
                "params": {"name": self.tool, "arguments": {"message": "hello"}}}
        while "Echo: hello" not in (said := self.post(call)[1]):
            if time.monotonic() > deadline:
                fail(f"{self.name} does not echo: {said}")
            time.sleep(0.1)

    def load(self, connections, seconds, modern=False):
        env = {**os.environ, "BENCH_TOOL": self.tool, "BENCH_TOKEN": self.token,
               "BENCH_SESSION": "" if modern else self.session}
        said = subprocess.run(
            ["wrk", "--threads", "1", "--connections", str(connections),
             "--duration", f"{seconds}s", "--timeout", "10s",
             "--script", ROOT / "benches/call.lua", self.url],
            env=env, check=True, capture_output=True, text=True).stdout
        lines = [line for line in said.splitlines() if line.startswith("RESULT ")]
        if not lines:
            fail(f"wrk said no result:\n{said}")
        result = json.loads(lines[0].removeprefix("RESULT "))
        if result["errors"]:
            fail(f"{self.name} at {connections}: {result['errors']} errors\n{said}")
        return {"rate": result["requests"] / result["seconds"], **result}

    def footprint(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return {"rssKib": int(line.split()[1]), "handles": len(os.listdir(f"/proc/{self.pid}/fd"))}


@contextlib.contextmanager
def process(words, folder, **options):
    with open(folder / f"{pathlib.Path(words[0]).name}.log", "wb") as log:
        child = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log, **options)
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()


def wait_for(child, ready, what):
    deadline = time.monotonic() + START_SECONDS
    while not (found := ready()):
        if child.poll() is not None or time.monotonic() > deadline:
            fail(f"{what} does not serve")
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def weft(program, folder):
    folder.mkdir()
    (folder / "weft.yaml").write_text(
        "servers:\n  everything: " + json.dumps({"command": str(EVERYTHING), "args": ["stdio"]})
        + "\n", encoding="utf-8")
    words = [program, "up", "-c", "weft.yaml", "--data", "data", "--nats-server", NATS,
             "--listen", "127.0.0.1:0"]
    with process(words, folder) as child:
        context = folder / "data/context.json"
        def serves():
            with contextlib.suppress(OSError, ValueError):
                return json.loads(context.read_text(encoding="utf-8")).get("gatewayUrl")
        url = wait_for(child, serves, "weft")
        token = (folder / "data/token").read_text(encoding="utf-8").strip()
        yield Side("weft", url, "everything__echo", child.pid, token)


@contextlib.contextmanager
def proxy(folder):
    folder.mkdir()
    port = free_port()
    (folder / "proxy.toml").write_text(f"""[proxy]
name = "bench"
separator = "__"
[proxy.listen]
host = "127.0.0.1"
port = {port}
[[backends]]
name = "everything"
transport = "stdio"
command = {json.dumps(str(EVERYTHING))}
args = ["stdio"]
""", encoding="utf-8")
    words = [PROXY / "bin/mcp-proxy", "--config", "proxy.toml"]
    with process(words, folder) as child:
        side = Side("mcp-proxy", f"http://127.0.0.1:{port}/", "everything__echo", child.pid)
        def serves():
            with contextlib.suppress(OSError):
                side.open()
                return True
        wait_for(child, serves, "mcp-proxy")
        yield side


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def bare_round_trip(program):
    """Microseconds, of 256 bytes each way, on a broker without accounts."""
    said = subprocess.run([program, "bench", "call", "--rounds", "3", "--slice", "1s", "-o", "json"],
                          cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return json.loads(said)["ratiosPlainBroker"]["bodies"][0]["baseP50Us"]


def rounds(sides, args):
    """The loads in turn: by name and connections, a list with one result a round."""
    weft_side, proxy_side = sides
    plan = [("weft", weft_side, False), ("mcp-proxy", proxy_side, False),
            ("weft, newer era", weft_side, True)]
    taken = {}
    for number in range(args.rounds + 1):
        # Each round another one begins: who is asked right behind its own load with 16 is slower.
        turn = number % len(plan)
        for connections in (16, 1):
            for name, side, modern in plan[turn:] + plan[:turn]:
                result = side.load(connections, args.slice, modern)
                if number:  # the first round warms up
                    taken.setdefault((name, connections), []).append(result)
    return taken


def minute(side, args):
    before = side.footprint()
    result = side.load(16, args.minute)
    time.sleep(SETTLE_SECONDS)
    return {"before": before, "after": side.footprint(), "requests": result["requests"]}


def summary(taken, bare, minutes):
    def median(name, connections, key):
        return statistics.median(result[key] for result in taken[name, connections])

    def ratio(name):
        pairs = zip(taken[name, 16], taken["mcp-proxy", 16])
        return statistics.median(ours["rate"] / theirs["rate"] for ours, theirs in pairs)

    names = ("weft", "mcp-proxy", "weft, newer era")
    p50 = {name: median(name, 1, "p50Us") for name in names}
    allowed = p50["mcp-proxy"] + ROUND_TRIPS_TARGET * bare
    footprint = minutes["weft"]
    grown = footprint["after"]["rssKib"] / footprint["before"]["rssKib"]
    handles = footprint["after"]["handles"] - footprint["before"]["handles"]
    return {
        "ratePerSecond16": {name: median(name, 16, "rate") for name in names},
        "ratio16": {"weft": ratio("weft"), "weft, newer era": ratio("weft, newer era")},
        "p50Us1": p50, "bareRoundTripUs": bare, "minute": minutes,
        "targets": [
            {"what": f"rate at 16, of mcp-proxy's: at least {RATE_TARGET}",
             "is": round(ratio("weft"), 2), "met": ratio("weft") >= RATE_TARGET},
            {"what": f"median at 1, us: at most mcp-proxy's and {ROUND_TRIPS_TARGET} round trips, "
                     f"{allowed:.0f}", "is": round(p50["weft"]), "met": p50["weft"] <= allowed},
            {"what": f"memory after a minute, of before: at most {MEMORY_TARGET}",
             "is": round(grown, 3), "met": grown <= MEMORY_TARGET},
            {"what": f"file handles more after a minute: at most {HANDLES_TARGET}",
             "is": handles, "met": handles <= HANDLES_TARGET},
        ],
    }


def show(found):
    print(f"{'':20}{'calls/s at 16':>15}{'of mcp-proxy':>14}{'p50 at 1':>12}")
    for name, rate in found["ratePerSecond16"].items():
        ratio = found["ratio16"].get(name)
        ratio = f"{ratio:.2f}" if ratio else ""
        print(f"{name:20}{rate:15,.0f}{ratio:>14}{found['p50Us1'][name]:9.0f} us")
    print(f"{'bare NATS round trip':47}{found['bareRoundTripUs']:11.0f} us\n")
    print(f"{'':20}{'MiB before':>15}{'after':>14}{'handles':>12}{'after':>8}{'calls':>11}")
    for name, one in found["minute"].items():
        before, after = one["before"], one["after"]
        print(f"{name:20}{before['rssKib'] / 1024:15.1f}{after['rssKib'] / 1024:14.1f}"
              f"{before['handles']:12}{after['handles']:8}{one['requests']:11,}")
    print()
    for target in found["targets"]:
        print(f"{'met   ' if target['met'] else 'MISSED'}  {target['is']:>8}  {target['what']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weft", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--slice", type=int, default=5, help="seconds of each load")
    parser.add_argument("--minute", type=int, default=60, help="seconds of the long load")
    parser.add_argument("--json", type=pathlib.Path, help="writes the figures there too")
    args = parser.parse_args()
    program = args.weft.resolve()
    install()
    bare = bare_round_trip(program)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        with weft(program, folder / "weft") as ours, proxy(folder / "proxy") as theirs:
            ours.open()
            taken = rounds((ours, theirs), args)
            minutes = {side.name: minute(side, args) for side in (ours, theirs)}
    found = summary(taken, bare, minutes)
    show(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.exit(not all(target["met"] for target in found["targets"]))


if __name__ == "__main__":
    main()
