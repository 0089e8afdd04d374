# SPDX-License-Identifier: Apache-2.0
"""Times every operator beside its peers: values and P, forward and with the gradient.

  python -m experiments.benchmarks.operators
  python -m experiments.benchmarks.operators --operators=bitonic,softsort --lengths=8,16,32 --long=

Everything runs in one process, in float32, the programs of a comparison in turn. Peers come with
`pip install "arlsort[peers]"`; those that are not installed are named and left out. Writes what was
measured to `--out` and a figure beside it. Nothing else should run on the machine.
"""

import os
import sys
from pathlib import Path
from typing import Any

from absl import flags

from arlsort import operators
from experiments.benchmarks import plots, programs
from experiments.benchmarks.peers import ROWS
from experiments.common import storage
from experiments.common.command_line import (
    Script,
    check_at_least,
    check_choices,
    check_once,
    check_out,
    definers,
    read_lengths,
    refused,
)
from experiments.common.reports import git_commit, machine

RESULT = Path("runs/benchmark.json")

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("operators", list(operators.names()), "Registered names.")
define.list("lengths", [str(2**i) for i in range(3, 13)], "n, ascending.")
define.integer("batch_size", 32, "Lists in a call.")
define.list("smaller", ["2048:8", "4096:1"], "n:batch: from this n on, fewer lists for P.")
define.list("long", ["100000"], "n of one list, values alone, beside jnp.sort.")
define.integer("repeats", 15, "Most timed runs of a program.")
define.float("budget_seconds", 1.0, "Time for the repeats of a program.")
define.float("give_up_seconds", 20.0, "A program that is expected to take longer is left out.")
define.float("max_gigabytes", 8.0, "A JAX program that would work in more is left out.")
define.string("out", str(RESULT), "Where to write.")


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    check_choices(FLAGS, "operators", operators.names())
    for name in ("batch_size", "repeats"):
        check_at_least(FLAGS, name, 1)
    for name in ("budget_seconds", "give_up_seconds", "max_gigabytes"):
        value: float = getattr(FLAGS, name)
        if not value > 0:
            raise refused(name, value, "a number > 0")
    out = check_out(FLAGS)
    out.parent.mkdir(parents=True, exist_ok=True)  # and not after all is measured
    lengths, long = read_lengths(FLAGS, "lengths"), read_lengths(FLAGS, "long")
    if lengths and long and long[0] <= lengths[-1]:
        raise refused("long", long, f"integers above {lengths[-1]}")
    return {
        "operators": FLAGS.operators,
        "lengths": lengths,
        "batch_size": FLAGS.batch_size,
        "smaller": _smaller(),
        "long": long,
        "repeats": FLAGS.repeats,
        "budget_seconds": FLAGS.budget_seconds,
        "give_up_seconds": FLAGS.give_up_seconds,
        "max_gigabytes": FLAGS.max_gigabytes,
    }


def _smaller() -> list[tuple[int, int]]:
    pairs = []
    for text in FLAGS.smaller:
        n, _, batch = text.partition(":")
        if not (n.isdecimal() and batch.isdecimal() and int(batch) >= 1):
            raise refused("smaller", repr(text), "n:batch, ...")
        pairs.append((int(n), int(batch)))
    check_once("smaller", (n for n, _ in pairs))
    return sorted(pairs)


def sizes(config: dict[str, Any], what: str) -> list[tuple[int, int]]:
    """Each n with its batch."""
    found = []
    for n in config["lengths"]:
        batch = config["batch_size"]
        for start, fewer in config["smaller"] if what == "permutation" else ():
            if n >= start:
                batch = min(config["batch_size"], fewer)
        found.append((n, batch))
    return found + [(n, 1) for n in config["long"] if what == "values"]


def table(records: list[dict[str, Any]]) -> str:
    """What was measured of one operator, values or P, and one direction, for a terminal."""
    first = records[0]
    lines = [f"{first['spec']}: {first['what']}, {first['direction']}"]
    for record in records:
        ours = record["ours"]
        line = f"  n = {record['n']:>6}, batch {record['batch']:>2}: {_cell(ours)}"
        if "seconds" in ours and "floor_bytes" in record:
            line += f", P at {record['floor_bytes'] / ours['seconds'] / 1e9:.2f} GB/s"
        for name, peer in record["peers"].items():
            line += f"; {name} {_cell(peer)}"
            if "ratio" in peer:
                line += f", {peer['ratio']:.1f} times ours"
        lines.append(line)
    return "\n".join(lines)


def _cell(measured: dict[str, Any]) -> str:
    for reason in ("skipped", "failed"):
        if reason in measured:
            return f"{reason} ({measured[reason]})"
    return f"{1e3 * measured['seconds']:.3g} ms (ready in {measured['ready_seconds']:.2f} s)"


def main() -> None:
    """Measures, prints, writes."""
    config = settings()
    limits = programs.Limits(
        config["repeats"],
        config["budget_seconds"],
        config["give_up_seconds"],
        1e9 * config["max_gigabytes"],
    )
    wanted = {peer.package: peer for name in config["operators"] for peer in _peers(name)}
    missing = [name for name, peer in wanted.items() if not peer.installed()]
    if missing:
        print(f"not installed and left out: {', '.join(missing)}")
    report: dict[str, Any] = {
        "config": config,
        "commit": git_commit(),
        "machine": machine(),
        "peers": programs.versions([name for name in wanted if name not in missing]),
        "missing": missing,
        "deviations": [],
        "records": [],
    }
    longer = min(config["long"], default=float("inf"))
    for name in config["operators"]:
        of = programs.subject(name)
        report["deviations"] += programs.deviations(of)
        for what in programs.WHAT:
            if what == "permutation" and not of.operator.has_permutation:
                continue
            for direction in programs.DIRECTIONS:
                records = programs.measure(
                    of, what, direction, sizes(config, what), limits, yardstick_from=longer
                )
                report["records"] += records
                if records:
                    print(table(records), flush=True)
    for found in report["deviations"]:
        said = found.get("failed") or f"differs by at most {found['deviation']:.2g}"
        print(f"{found['operator']}, {found['what']}: {found['peer']} {said}")
    out = Path(FLAGS.out)
    storage.write_json(out, report)
    print(out)
    if report["records"]:
        print(plots.speed(report["records"], out.with_suffix(".png")))


def _peers(name: str) -> tuple[Any, ...]:
    return ROWS[name].peers if name in ROWS else ()


SCRIPT = Script("benchmark", __doc__, FLAGS, main, (ImportError, OSError))

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    SCRIPT.run(sys.argv)
