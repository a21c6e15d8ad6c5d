#!/usr/bin/env python3
"""Speaks to one of the real servers directly over stdio, with nothing in between.

    direct.py SERVER [--bin DIR] [--era legacy|modern] [--check] [--list] [--probe]

Starts SERVER as calls.json says, on a fresh state in a temporary folder, lists its tools (every
page), makes all its calls in order and prints the raw results as JSON.

    --check   makes two such runs, in folders of different names, and fails where they differ
              after the normalisation of calls.json: the proof that calls.json names every
              volatile value, and misses no tool
    --list    prints the tools only
    --probe   prints how the server answers openers and unusual requests of both eras

Standard library only. DIR defaults to .tools/real/bin below the project root.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
LEGACY, MODERN = "2025-11-25", "2026-07-28"
META = "io.modelcontextprotocol/"
CLIENT = {"name": "direct", "version": "1"}
PATIENCE_SECONDS = 30
PAGES_MAX = 100


class Server:
    """One server process and the JSON lines to and from it."""

    def __init__(self, command, env, era):
        self.era = era
        self.meta = None
        self.last_id = 0
        self.child = subprocess.Popen(
            command, env={**os.environ, **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, encoding="utf-8",
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        try:
            self.child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()

    def send(self, message):
        self.child.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.child.stdin.flush()

    def request(self, method, params=None, bare=False):
        """The whole response message. `bare` leaves the modern metadata out."""
        self.last_id += 1
        own, params = self.last_id, dict(params or {})
        if self.meta and not bare:
            params["_meta"] = self.meta
        watchdog = threading.Timer(PATIENCE_SECONDS, self.child.kill)
        watchdog.start()
        try:
            self.send({"id": own, "method": method, "params": params})
            for line in self.child.stdout:
                message = json.loads(line)
                if "method" in message:
                    self.serve(message)
                elif message.get("id") == own:
                    return message
        except BrokenPipeError:
            pass
        finally:
            watchdog.cancel()
        return {"closed": self.child.wait()}

    def serve(self, message):
        """Answers what the server asks: this client declares no capability, so only ping."""
        if "id" not in message:
            return
        if message["method"] == "ping":
            answer = {"result": {}}
        else:
            answer = {"error": {"code": -32601, "message": "Method not found"}}
        self.send({"id": message["id"], **answer})

    def open(self):
        """The opening of the era; the response to it."""
        if self.era == "modern":
            self.meta = {META + "protocolVersion": MODERN, META + "clientCapabilities": {},
                         META + "clientInfo": CLIENT}
            return self.request("server/discover")
        answer = self.request("initialize", {
            "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT})
        self.send({"method": "notifications/initialized"})
        return answer

    def tools(self):
        found, params = [], {}
        for _ in range(PAGES_MAX):
            result = self.request("tools/list", params)["result"]
            found += result["tools"]
            if result.get("nextCursor") is None:
                return found
            params = {"cursor": result["nextCursor"]}
        raise SystemExit(f"tools/list did not end after {PAGES_MAX} pages")


def prepare(plan, folder):
    """Brings the fresh state of the plan about below `folder`."""
    for name, text in plan.get("files", {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    env = {**os.environ, **plan.get("env", {})}
    for command in plan.get("commands", []):
        subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)


def fill(value, folder):
    """`value` with every placeholder replaced."""
    text = json.dumps(value)
    for name in ("${DIR}", "${REPO}"):
        text = text.replace(name, json.dumps(str(folder))[1:-1])
    return json.loads(text)


def scrub(value, rules, folder):
    """A copy of `value` without what may differ between two executions."""
    value = json.loads(json.dumps(value))
    for rule in rules:
        if "pointer" in rule and "result" in value:
            blank(value["result"], rule["pointer"].split("/")[1:])
    patterns = [re.escape(str(folder))] + [r["pattern"] for r in rules if "pattern" in r]

    def walk(node):
        if isinstance(node, dict):
            return {key: walk(item) for key, item in node.items()}
        if isinstance(node, list):
            return [walk(item) for item in node]
        if isinstance(node, str):
            for pattern in patterns:
                node = re.sub(pattern, "<volatile>", node)
        return node

    return walk(value)


def blank(node, path):
    """Overwrites the value at a JSON pointer, where there is one."""
    for step in path[:-1]:
        node = node[int(step)] if isinstance(node, list) else node.get(step, {})
    key = int(path[-1]) if isinstance(node, list) else path[-1]
    if isinstance(node, list) or key in node:
        node[key] = "<volatile>"


def start(plan, args, folder):
    command = fill(plan["command"], folder)
    command[0] = str(args.bin / command[0])
    return Server(command, fill(plan.get("env", {}), folder), args.era)


def run(plan, args, folder):
    prepare(plan.get("setup", {}), folder)
    with start(plan, args, folder) as server:
        opening = server.open()
        tools = server.tools()
        results = []
        for call in plan["calls"]:
            for kind in ("valid", "missing"):
                if call[kind] is None:
                    continue
                answer = server.request("tools/call", {
                    "name": call["tool"], "arguments": fill(call[kind], folder)})
                answer.pop("id", None)
                results.append({"tool": call["tool"], "kind": kind, "answer": answer,
                                "volatile": plan.get("volatile", []) + call.get("volatile", []),
                                "must_fail": kind == "missing" or "fails" in call})
    return {"opening": opening, "tools": tools, "results": results}


def check(plan, args, folder):
    """Two runs on fresh states must agree. Returns what is wrong."""
    wrong, folders = [], [folder / "a", folder / "another"]
    for each in folders:
        each.mkdir()
    first, second = (run(plan, args, each) for each in folders)
    listed, called = {t["name"] for t in first["tools"]}, {c["tool"] for c in plan["calls"]}
    wrong += [f"no call for {name}" for name in sorted(listed - called)]
    wrong += [f"no such tool: {name}" for name in sorted(called - listed)]
    if scrub(first["tools"], [], folders[0]) != scrub(second["tools"], [], folders[1]):
        wrong.append("the two tool lists differ")
    for one, two in zip(first["results"], second["results"]):
        name = f"{one['tool']} ({one['kind']})"
        left = scrub(one["answer"], one["volatile"], folders[0])
        right = scrub(two["answer"], two["volatile"], folders[1])
        if left != right:
            wrong.append(f"{name}: {json.dumps(left)} != {json.dumps(right)}")
        failed = "result" not in left or left["result"].get("isError", False)
        if failed != one["must_fail"]:
            wrong.append(f"{name}: {'failed' if failed else 'did not fail'}: {json.dumps(left)}")
    return wrong


def probe(plan, args, folder):
    """How one server answers openers and unusual requests: each opener on its own process."""
    prepare(plan.get("setup", {}), folder)
    seen = {}
    args.era = "modern"
    with start(plan, args, folder) as server:
        seen["server/discover first"] = server.open()
        server.meta = None
        seen["initialize after it"] = server.request("initialize", {
            "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT})
    with start(plan, args, folder) as server:
        seen["tools/list first, without _meta"] = server.request("tools/list")
        seen["tools/list first, without _meta"].get("result", {}).pop("tools", None)
    for era in ("legacy", "modern"):
        args.era = era
        with start(plan, args, folder) as server:
            if "result" not in server.open():
                continue
            seen[f"{era}: unknown tool"] = server.request(
                "tools/call", {"name": "no_such_tool", "arguments": {}})
            seen[f"{era}: unknown method"] = server.request("no/such/method")
            seen[f"{era}: without _meta"] = server.request("tools/list", bare=True)
            seen[f"{era}: without _meta"].get("result", {}).pop("tools", None)
            seen[f"{era}: ping"] = server.request("ping")
    return seen


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("server")
    parser.add_argument("--bin", type=pathlib.Path, default=HERE.parents[1] / ".tools/real/bin")
    parser.add_argument("--era", choices=("legacy", "modern"), default="legacy")
    for flag in ("check", "list", "probe"):
        parser.add_argument("--" + flag, action="store_true")
    args = parser.parse_args()
    plans = json.loads((HERE / "calls.json").read_text(encoding="utf-8"))["servers"]
    if args.server not in plans:
        parser.error(f"no server {args.server}: choose one of {', '.join(plans)}")
    plan = plans[args.server]
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch).resolve()
        if args.check:
            wrong = check(plan, args, folder)
            print("\n".join(wrong) or f"{args.server}: two runs agree")
            sys.exit(bool(wrong))
        if args.probe:
            shown = probe(plan, args, folder)
        elif args.list:
            prepare(plan.get("setup", {}), folder)
            with start(plan, args, folder) as server:
                server.open()
                shown = server.tools()
        else:
            shown = run(plan, args, folder)
        json.dump(shown, sys.stdout, indent=1, ensure_ascii=False)
        print()


if __name__ == "__main__":
    main()
