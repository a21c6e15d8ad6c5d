#!/usr/bin/env python3
"""Runs the official conformance suite against a server, and keeps count of the passed checks.

    suite.py measure SET URL [--bin DIR]   prints {SCENARIO: {STATUS: COUNT}} as JSON
    suite.py record FOLDER                 writes suite.json anew from FOLDER/ROUTE.json, each
                                           {SET: what `measure` printed}; refuses a count that
                                           went down

A set is what a revision of the protocol requires, or `all`: every scenario, at the newest revision
that it applies to. Sets may run side by side, for each spends its time waiting, but each on a
server of its own: some scenarios change what others list. A scenario says nothing by its verdict
alone: some pass with all of their own checks skipped; so checks are counted.

The suite has no way to send a bearer token: where one is needed, URL is that of a forwarder.
Standard library only. DIR defaults to .tools/real/bin below the project root.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
RECORD = HERE / "suite.json"
SETS = {
    "2025-11-25": ["--requirements", "2025-11-25"],
    "2026-07-28": ["--requirements", "2026-07-28"],
    "all": ["--suite", "all"],
}
# The suite names the folder of a scenario's results after it, with the time at the end.
RESULT = re.compile(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z")
WITHIN = 300


def measure(name, url, programs):
    with tempfile.TemporaryDirectory() as folder:
        # Its status says whether all passed: the counts say it better.
        subprocess.run(
            [programs / "conformance", "server", "--url", url, *SETS[name], "-o", folder],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=WITHIN, check=False)
        return counted(pathlib.Path(folder))


def counted(folder):
    scenarios = {}
    for result in sorted(folder.glob("*/checks.json")):
        name = RESULT.fullmatch(result.parent.name).group(1)
        checks = json.loads(result.read_text(encoding="utf-8"))
        statuses = collections.Counter(check["status"] for check in checks)
        scenarios[name] = dict(sorted(statuses.items()))
    return dict(sorted(scenarios.items()))


def passed(measured):
    return {
        route: {
            name: {scenario: count.get("SUCCESS", 0) for scenario, count in scenarios.items()}
            for name, scenarios in sets.items()
        }
        for route, sets in measured.items()
    }


def record(measured):
    new = passed(measured)
    old = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    lost = [
        f"{route}, {name}, {scenario}: {count} before, {now} now"
        for route, sets in old.items()
        for name, scenarios in sets.items()
        for scenario, count in scenarios.items()
        if (now := new.get(route, {}).get(name, {}).get(scenario, 0)) < count
    ]
    if lost:
        sys.exit("suite.py: passed checks may only become more:\n  " + "\n  ".join(lost))
    RECORD.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")
    for route, sets in new.items():
        sums = ", ".join(f"{name}: {sum(counts.values())}" for name, counts in sets.items())
        print(f"{route}: {sums}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    todo = parser.add_subparsers(dest="todo", required=True)
    measuring = todo.add_parser("measure")
    measuring.add_argument("set", choices=SETS)
    measuring.add_argument("url")
    measuring.add_argument("--bin", type=pathlib.Path, default=HERE.parents[1] / ".tools/real/bin")
    recording = todo.add_parser("record")
    recording.add_argument("folder", type=pathlib.Path)
    args = parser.parse_args()
    if args.todo == "measure":
        json.dump(measure(args.set, args.url, args.bin), sys.stdout, indent=1)
        print()
    else:
        files = sorted(args.folder.glob("*.json"))
        record({file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files})


if __name__ == "__main__":
    main()
