# SPDX-License-Identifier: Apache-2.0
"""Compares the readouts of the learned sort: how far is each P from the mean permutation?

  python -m experiments.research.readouts

For random lists the mean trace of a sort and the mean permutation under unit noise are estimated
from many perturbed copies. Readouts are compared on the exact mean trace of insertion sort, and on
what the shipped networks say. Of each P the Kullback-Leibler distance from the mean permutation is
printed, in nats for each position, with the share of neighbouring values that come out in the wrong
order; of the networks also how far their output pointers are from the mean ones, in nats for each
element.

What is measured is written after each comparison; those that the file has are not made again.
"""

import functools
import sys
from pathlib import Path
from typing import Any

from absl import flags

from arlsort.operators.learned import LearnedSort
from experiments.common.command_line import Script, check_choices, check_out, definers
from experiments.common.reports import measure_once, open_report
from experiments.research import mean_runs

SPREADS = (1.0, 4.0, 10.0, 40.0, 200.0, 1000.0)
NETWORKS = {
    "insertion_sort:gaussian": (5, 9, 15),
    "insertion_sort:cauchy": (5, 9, 15),
    "bubble_sort:gaussian": (5, 8),
    "quicksort:gaussian": (5, 8),
}
"""The lengths of lists, by sort and noise."""
READ_EXACTLY = "insertion_sort:gaussian"
"""Of this one exact traces are read too."""

FLAGS = flags.FlagValues()
define = definers(FLAGS)
define.list("networks", list(NETWORKS), "What to read, sort:noise.")
define.string("out", "runs/readouts.json", "Where to write.")


def settings() -> dict[str, Any]:
    """Checks the flags; how distances are measured.

    Raises:
      FlagError: If a flag is not allowed.
    """
    check_choices(FLAGS, "networks", NETWORKS)
    check_out(FLAGS)
    return mean_runs.settings(SPREADS)


def main() -> None:
    """Measures, prints, writes after each list length and spread."""
    config, out = settings(), Path(FLAGS.out)
    report = open_report("readouts", config, out)
    for network in FLAGS.networks:
        algorithm, _, noise = network.partition(":")
        operator = LearnedSort(algorithm, noise=noise, temperature=1.0, normalize=False)
        for n in NETWORKS[network]:
            for spread in SPREADS:
                identity = {"algorithm": algorithm, "noise": noise, "n": n, "spread": spread}
                measure = functools.partial(
                    mean_runs.compare,
                    operator,
                    noise,
                    n,
                    spread,
                    reads_exact=network == READ_EXACTLY,
                )
                record = measure_once(report, out, identity, measure)
                if record is not None:
                    print(record, flush=True)
    print(out)


SCRIPT = Script("readouts", __doc__, FLAGS, main, (OSError,))

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
