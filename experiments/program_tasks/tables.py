# SPDX-License-Identifier: Apache-2.0
"""How reports of both tasks are shown: tables in Markdown, and which picture goes with them."""

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.common import storage
from experiments.common.reports import markdown
from experiments.four_digits import results
from experiments.program_tasks import plots


@dataclasses.dataclass(frozen=True)
class View:
    """How the reports of one script are shown.

    Attributes:
      examples: What a batch has, in the plural.
      head: Of the column of names.
      metrics: Titles of metrics in percent, by their names; the first one is shown untrained too.
      draw: Draws the picture that goes with it, from a report to a path.
    """

    examples: str
    head: str
    metrics: Mapping[str, str]
    draw: Callable[[dict[str, Any], Path], Path]


VIEWS = {
    "compare_strings": View(
        "pairs",
        "classes",
        {"accuracy": "matched accuracy, %", "distances": "exact distances, %"},
        plots.confusions,
    ),
    "cheapest_paths": View(
        "grids",
        "t-conorm",
        {"exact": "cheapest paths, %", "excess": "excess cost, %"},
        plots.costs,
    ),
}
"""By the names of the scripts."""


def table(report: dict[str, Any]) -> str:
    """Renders the summary of a report as Markdown."""
    view = VIEWS[report["experiment"]]
    first = next(iter(view.metrics))
    rows = []
    for row in report["summary"]:
        cells = [percent(row["test"][metric]) for metric in view.metrics]
        name = row["name"].removesuffix("_classes")
        rows.append([name, *cells, percent(row["before"][first]), str(row["seeds"])])
    return markdown([view.head, *view.metrics.values(), "untrained", "seeds"], rows)


def section(report: dict[str, Any], source: str) -> str:
    """Renders a report for a page: its settings, the link to its numbers, and its table."""
    config, where = report["config"], report["machine"]
    examples = VIEWS[report["experiment"]].examples
    cores = f" with {where['cpus']} cores" if where["backend"] == "cpu" else ""
    seeds = len(report["seeds"])
    conditions = (
        f"**{results.TITLES[config['dataset']]}**, {config['steps']:,} steps of "
        f"{config['batch_size']} {examples}, {config['test_examples']:,} test {examples}, "
        f"{seeds} seed{'s' if seeds > 1 else ''}, {where['device']}{cores}. ({source})"
    )
    return f"{conditions}\n\n{table(report)}"


# Test EM in percent by training step, of the run in AlgoVision's notebook.
PUBLISHED_EM = {200: 24.1, 1000: 30.8, 1200: 32.3}
# And its settings.
PUBLISHED_SETTINGS = {
    "dataset": "mnist",
    "resolution": "full",
    "n": 5,
    "steps": 1200,
    "batch_size": 100,
    "learning_rate": 0.000316,
    "schedule": "constant",
}


def orders(report: dict[str, Any], source: str) -> str:
    """Renders a comparison of order losses; on MNIST with its course.

    The published run is another experiment than that of the paper on sorting networks, and stands
    beside a course of the same settings alone.
    """
    parts, config = [results.section(report, source, of_paper=False)], report["config"]
    if config["dataset"] == "mnist":
        same = all(config[name] == value for name, value in PUBLISHED_SETTINGS.items())
        parts.append(_course(report["runs"], published=same))
    return "\n\n".join(parts)


def _course(runs: Sequence[dict[str, Any]], *, published: bool) -> str:
    """Renders EM on validation lists over the steps, means over the seeds of each method."""
    curves: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        curves.setdefault(run["operator"], []).append(run["curve"])
    rows = []
    for i, step in enumerate(next(iter(curves.values()))[0]["step"]):
        cells = [
            f"{100 * statistics.fmean(curve['em'][i] for curve in own):.1f}"
            for own in curves.values()
        ]
        rows.append([f"{step:,}", *cells, *([str(PUBLISHED_EM.get(step, "-"))] * published)])
    heads = [f"`{name}`, validation EM" for name in curves]
    return markdown(["steps", *heads, *(["published, test EM"] * published)], rows)


def sections(folder: Path, link: Callable[[Path], str]) -> dict[str, Callable[[], str]]:
    """What a page shows of the reports in a folder, by the marker of each section.

    Args:
      folder: Its files are named after the scripts, with what tells several apart behind that.
      link: How the page links to a file.
    """

    def all_of(script: str, render: Callable[[dict[str, Any], str], str]) -> str:
        return "\n\n".join(
            render(storage.read_json(path), f"[numbers]({link(path)})")
            for path in sorted(folder.glob(f"{script}*.json"))
        )

    return {
        "swaps": lambda: all_of("sort_numbers", orders),
        "strings": lambda: all_of("compare_strings", section),
        "paths": lambda: all_of("cheapest_paths", section),
    }


def draw(folder: Path) -> None:
    """Draws the picture of each report in a folder, beside it."""
    for script, view in VIEWS.items():
        for path in folder.glob(f"{script}*.json"):
            view.draw(storage.read_json(path), path.with_suffix(".png"))


def percent(value: Mapping[str, float | None]) -> str:
    """Writes a metric in percent: `41.3 ± 1.2`, or `41.3` for a single seed."""
    mean, deviation = value["mean"], value["sd"]
    assert mean is not None
    return f"{100 * mean:.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")
