# SPDX-License-Identifier: Apache-2.0
"""Times every operator beside its peers: values and P, forward and with the gradient.

  python -m experiments.benchmarks.operators
  python -m experiments.benchmarks.operators --operators=bitonic,softsort --lengths=8,16,32 --long=
  python -m experiments.benchmarks.operators --quick

`top_k`, `top_k_mask`, `quantile` and `sort_by` are timed with their gradient, beside the same
through the whole P. Everything runs in one process, in float32, the programs of a comparison in
turn, after a run of each that does not count. Beside P an array like it is written, or copied,
which is the least that P costs. Peers come with `pip install "arlsort[peers]"`; those that are not
installed are named and left out. Writes what was measured to `--out` and a figure beside it.
Nothing else should run on the machine.
"""

import collections
import os
import sys
import time
from pathlib import Path
from typing import Any

from absl import flags

from arlsort import operators
from experiments.benchmarks import plots, preparing, programs, shipped
from experiments.benchmarks.operator_tables import ratio, share
from experiments.benchmarks.peers import ROWS
from experiments.benchmarks.selections import FUNCTIONS
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
define.list("lengths", "8,16,32,64,128,512,1024,2048", "n, ascending.")
define.integer("batch_size", 32, "Lists in a call.")
define.list("smaller", ["2048:8"], "n:batch: from this n on, fewer lists for all but values.")
define.list("long", ["100000"], "n of one list, values alone, beside jnp.sort.")
define.list("directions", list(preparing.DIRECTIONS), "forward, backward.")
define.list(
    *("picking", "softsort,neuralsort,bitonic,lapsum,permutahedron"),
    "Those of the operators whose top_k, top_k_mask, quantile and sort_by are timed.",
)
define.list("picking_lengths", "128,1024", "n of these.")
define.integer("repeats", 30, "Most timed runs of a program.")
define.float("budget_seconds", 0.5, "Time for the repeats of a program.")
define.float("give_up_seconds", 5.0, "A program whose run is expected to take longer is left out.")
define.float("max_gigabytes", 8.0, "A JAX program that would work in more is left out.")
define.float("minutes", 30.0, "After so long no more programs are begun.")
define.boolean(
    "quick", False, "Ends in three minutes: sets what you do not, and says what it left out."
)
define.string("out", str(RESULT), "Where to write.")

SLOWEST = ("learned", "odd_even_merge", "bubble_sort", "perturbed", "gumbel_sinkhorn")
QUICK: dict[str, Any] = {
    "operators": [name for name in operators.names() if name not in SLOWEST],
    "lengths": ["16", "256"],
    "long": [],
    "directions": ["backward"],
    "picking": ["softsort", "lapsum"],
    "picking_lengths": ["256"],
    "repeats": 10,
    "budget_seconds": 0.2,
    "give_up_seconds": 0.5,
    "minutes": 2.4,
}
"""What `--quick` means for flags that are not given. Plots and programs in progress come after."""
GENEROUS, EVEN = 4.0, 1.5
"""How many equal parts of the time left one kind of program may take; and if it is little."""


AS_GIVEN = (
    *("operators", "batch_size", "directions", "picking", "repeats", "budget_seconds"),
    *("give_up_seconds", "max_gigabytes", "minutes", "quick"),
)


def settings() -> dict[str, Any]:
    """Reads and checks the flags.

    Raises:
      FlagError: If one is not allowed.
    """
    if FLAGS.quick:
        for name, meant in QUICK.items():
            if not FLAGS[name].present:
                FLAGS[name].value = meant
    check_choices(FLAGS, "operators", operators.names())
    check_choices(FLAGS, "picking", operators.names())
    check_choices(FLAGS, "directions", preparing.DIRECTIONS)
    for name in ("batch_size", "repeats"):
        check_at_least(FLAGS, name, 1)
    for name in ("budget_seconds", "give_up_seconds", "max_gigabytes", "minutes"):
        value: float = getattr(FLAGS, name)
        if not value > 0:
            raise refused(name, value, "a number > 0")
    out = check_out(FLAGS)
    out.parent.mkdir(parents=True, exist_ok=True)  # and not after all is measured
    lengths, long = read_lengths(FLAGS, "lengths"), read_lengths(FLAGS, "long")
    if lengths and long and long[0] <= lengths[-1]:
        raise refused("long", long, f"integers above {lengths[-1]}")
    return {
        "lengths": lengths,
        "smaller": _smaller(),
        "long": long,
        "picking_lengths": read_lengths(FLAGS, "picking_lengths"),
        **{name: getattr(FLAGS, name) for name in AS_GIVEN},
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
    for n in config["picking_lengths" if what in FUNCTIONS else "lengths"]:
        batch = config["batch_size"]
        for start, fewer in config["smaller"] if what != "values" else ():
            if n >= start:
                batch = min(config["batch_size"], fewer)
        found.append((n, batch))
    return found + [(n, 1) for n in config["long"] if what == "values"]


def jobs(config: dict[str, Any]) -> list[tuple[programs.Subject, str, str]]:
    """What to measure: each operator, what of it, and in which direction."""
    found = []
    for name in config["operators"]:
        of = programs.subject(name)
        for what in programs.WHAT:
            if what == "values" or of.operator.has_permutation:
                found += [(of, what, direction) for direction in config["directions"]]
    picking = [name for name in config["picking"] if name in config["operators"]]
    for what in FUNCTIONS:
        found += [(programs.subject(name), what, "backward") for name in picking]
    return found


def table(records: list[dict[str, Any]]) -> str:
    """What was measured of one operator, values or P, and one direction, for a terminal."""
    first = records[0]
    lines = [f"{first['spec']}: {first['what']}, {first['direction']}"]
    for record in records:
        ours, part = record["ours"], share(record)
        line = f"  n = {record['n']:>6}, batch {record['batch']:>2}: {_cell(ours)}"
        if part is not None:
            line += f", P at {100 * part:.0f} % of the speed of memory"
        for name, peer in record["peers"].items():
            line += f"; {name} {_cell(peer)}"
            if "ratio" in peer:
                line += f", {ratio(peer)} times ours"
        lines.append(line)
    return "\n".join(lines)


def _cell(measured: dict[str, Any]) -> str:
    for reason in ("skipped", "failed"):
        if reason in measured:
            return f"{reason} ({measured[reason]})"
    return f"{1e3 * measured['seconds']:.3g} ms (ready in {measured['ready_seconds']:.2f} s)"


def left_out(report: dict[str, Any]) -> str:
    """What was not measured, and why: by reason, which programs from which n on."""
    reasons: dict[str, dict[str, int]] = collections.defaultdict(dict)
    for r in report["records"]:
        for name, measured in {r["operator"]: r["ours"], **r["peers"]}.items():
            if reason := measured.get("skipped"):
                of = f"{name} of {r['operator']}" if name != r["operator"] else name
                which = f"{of}, {r['what']} {r['direction']}"
                why = "would take too long" if reason.startswith("would take") else reason
                reasons[why].setdefault(which, r["n"])
    lines = [
        f"left out, {reason}: " + "; ".join(f"{which}, n >= {n}" for which, n in found.items())
        for reason, found in reasons.items()
    ]
    if report["config"]["quick"]:
        set_by_it = [name for name in QUICK if not FLAGS[name].present]
        lines += [
            "left out by --quick: whether peers compute the same, and with its settings",
            *(
                f"  --{name}={_text(QUICK[name])} for {_text(FLAGS[name].default)}"
                for name in set_by_it
            ),
        ]
    return "\n".join(lines)


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _run(config: dict[str, Any], report: dict[str, Any]) -> None:
    """Measures everything, as far as there is time, and prints it."""
    ends = time.monotonic() + 60 * config["minutes"]
    if not config["quick"]:
        for name in config["operators"]:
            report["deviations"] += programs.deviations(programs.subject(name))
    longer = min(config["long"], default=float("inf"))
    todo = jobs(config)
    for number, (of, what, direction) in enumerate(todo):
        now = time.monotonic()
        parts = (EVEN if config["quick"] else GENEROUS) / (len(todo) - number)
        limits = programs.Limits(
            config["repeats"],
            config["budget_seconds"],
            config["give_up_seconds"],
            1e9 * config["max_gigabytes"],
            now + min(1.0, parts) * (ends - now),
        )
        records = programs.measure(
            of, what, direction, sizes(config, what), limits, yardstick_from=longer
        )
        report["records"] += records
        if records:
            print(table(records), flush=True)


def main() -> None:
    """Measures, prints, writes."""
    began = time.monotonic()
    config = settings()
    wanted = {peer.package: peer for name in config["operators"] for peer in _peers(name)}
    missing = [name for name, peer in wanted.items() if not peer.installed()]
    if missing:
        print(f"not installed and left out: {', '.join(missing)}")
    report: dict[str, Any] = {
        "config": config,
        "commit": git_commit(),
        "machine": machine(),
        "weights": shipped.fingerprints(),
        "peers": programs.versions([name for name in wanted if name not in missing]),
        "missing": missing,
        "deviations": [],
        "records": [],
    }
    _run(config, report)
    report["seconds"] = round(time.monotonic() - began, 1)
    for found in report["deviations"]:
        said = found.get("failed") or f"differs by at most {found['deviation']:.2g}"
        print(f"{found['operator']}, {found['what']}: {found['peer']} {said}")
    print(left_out(report))
    out = Path(FLAGS.out)
    storage.write_json(out, report)
    print(f"{out}, after {report['seconds']:.0f} s")
    if report["records"]:
        print(plots.speed(report["records"], out.with_suffix(".png")))


def _peers(name: str) -> tuple[Any, ...]:
    return ROWS[name].peers if name in ROWS else ()


SCRIPT = Script("benchmark", __doc__, FLAGS, main, (ImportError, OSError))

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    SCRIPT.run(sys.argv)
