"""Files that are made to cost much, and what they cost. Run by `test_corpus` in a process of its own.

Prints one JSON line a file: its name, turns of a fixed loop, growth of the process in MB, number of jobs,
code of the first problem.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from support.cost import turns

from luad.config.jobs.job_file import load_file
from luad.config.problems import render_full
from luad.config.settings.daemon_settings import Settings

MIB = 1 << 20
DOUBTFUL = 100  # turns; a file that costs more is measured again
NOW = 1_795_341_600_000
HEAD = "name: job\nhandler: m:f\n"
JOB = HEAD + 'schedule: {type: cron, expression: "0 9 * * *"}\n'
HOSTILE = {
    "deep-flow-lists": "[" * 100_000,
    "deep-flow-closed": JOB + "metadata: {a: " + "[" * 500 + "]" * 500 + "}\n",
    "deep-flow-maps": "{a: " * 100_000,
    "deep-block": "".join(" " * depth + "a:\n" for depth in range(1_400)),
    "deep-block-lists": "- " * 200_000,
    "many-nodes": JOB + "metadata: {a: [" + "1," * 100_000 + "]}\n",
    "under-the-node-limit-and-wrong": JOB + "metadata: {a: [" + "1," * 49_000 + "]}\ntimout: 5\n",
    "many-unknown-keys": "".join(f"k{number}: 1\n" for number in range(20_000)),
    "many-unknown-keys-inside": HEAD
    + "schedule:\n  type: cron\n"
    + "".join(f"  k{number}: 1\n" for number in range(20_000)),
    "many-duplicates": "a: 1\n" * 20_000,
    "many-broken-documents": "---\nname: x\n" * 5_000,
    "many-scalars": "---\nx\n" * 20_000,
    "many-empty-documents": "---\n" * 200_000,
    "many-anchors": "".join(f"k{number}: &a{number} 1\n" for number in range(15_000)),
    "many-tags": "".join(f"k{number}: !a 1\n" for number in range(15_000)),
    "many-aliases": "a: &a 1\nb: [" + "*a," * 40_000 + "]\n",
    "long-text": HEAD + "description: " + "x" * (MIB - 100) + "\n",
    "long-quoted-text": HEAD + 'description: "' + "x" * (MIB - 100) + '"\n',
    "long-key": '"' + "k" * 60_000 + '": 1\n',
    "one-long-line": "{" + ",".join(f"a{number}: 1" for number in range(20_000)) + "}\n",
    "question-marks": "? " * 100_000,
    "colons": ": " * 100_000,
    "unclosed-quote": 'a: "' + "x\n" * (MIB // 2 - 10),
    "stars": "* " * 200_000,
    "many-unquoted-crons": (HEAD + "schedule: {type: cron, expression: */5 * * * *}\n---\n") * 500,
    "directives": "%FOO\n" * 100_000,
    "tabs": "\t" * 500_000,
    "dashes": "-" * 500_000,
    "big-numbers": JOB + "metadata: [" + ",".join(["9" * 4_000] * 240) + "]\n",
    "many-tags-of-a-job": JOB + "tags: [" + "aa," * 40_000 + "]\n",
    "many-to-alert-and-the-last-one-twice": JOB
    + "alert: {to: ["
    + "".join(f"a{number}," for number in range(20_000))
    + "a19999]}\n",
    "many-variables": JOB + "env:\n" + "".join(f"  K{number}: 1\n" for number in range(15_000)),
    "folded-text": HEAD + "description: >\n" + "  x\n" * 200_000,
    "long-expression": HEAD
    + 'schedule: {type: cron, expression: "'
    + "*/1," * 15_000
    + '* * * * *"}\n',
    "long-zone": HEAD
    + 'schedule: {type: cron, expression: "0 9 * * *", timezone: "'
    + "a" * 60_000
    + '"}\n',
    "long-name": 'name: "' + "É " * 30_000 + '"\nhandler: m:f\n',
    "over-the-size-limit": "#" * (MIB + 1),
}


def measure(name: str, data: bytes, settings: Settings) -> dict[str, object]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    parsed = load_file(name, data, settings=settings, now=NOW)
    cost = _cost_of(lambda: load_file(name, data, settings=settings, now=NOW))
    render_full(parsed.problems)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "name": name,
        "turns": cost,
        "grown_mb": grown / 1_024,
        "jobs": len(parsed.jobs),
        "code": parsed.problems[0].code if parsed.problems else None,
    }


def _cost_of(call: Callable[[], object]) -> float:
    cost = turns(call, tries=1)
    return cost if cost < DOUBTFUL else min(cost, turns(call))


def main() -> None:
    settings = Settings()
    load_file("warm.yaml", b"nam: 1", settings=settings)  # imports jsonschema
    load_file("warm.yaml", JOB.replace("}", ", timezone: X}").encode(), settings=settings)
    files = {path.name: path.read_bytes() for path in sorted(Path(sys.argv[1]).glob("*.yaml"))}
    files |= {name: text.encode() for name, text in HOSTILE.items()}
    for name, data in files.items():
        sys.stdout.write(json.dumps(measure(name, data, settings)) + "\n")


if __name__ == "__main__":
    main()
