# SPDX-License-Identifier: Apache-2.0
"""Writes tables and figures of results into README.md and docs, from the result files.

  python experiments/report.py

A comparison enters the README by copying its `results.json` to `experiments/results/`, a contest by
copying its `contest.json` to `experiments/results/research/contest_n9.json`, the speed of
the reasoner by running `experiments/benchmark_reasoner.py` with
`--out=experiments/results/speed/benchmark_reasoner.json`, that of the operators by running
`experiments/benchmark.py` with `--out=experiments/results/speed/benchmark.json`.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: its folder would stand for the repository's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments import contest_tables, plots, research_tables, speed_tables, storage
from experiments.config import PUBLISHED, PUBLISHED_DATASETS
from experiments.results import METRICS, cell, replace

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "experiments" / "results"
SPEED = RESULTS / "speed" / "benchmark_reasoner.json"
OPERATORS = ROOT / "docs" / "operators.md"
OUTCOME = ROOT / "docs" / "results.md"
NOTES = ROOT / "docs" / "research.md"
RESEARCH = RESULTS / "research"
CURVES = RESEARCH / "contests.png"
ORDER_QUALITY = RESULTS / "accuracy" / "order_quality.json"
OPERATORS_SPEED = RESULTS / "speed" / "benchmark.json"

TITLES = {
    "digits": "scikit-learn's digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "svhn_cropped": "SVHN",
}

# In the order a reader wants them; what the title says already is left out.
REDUCTIONS = (
    *("resolution", "steps", "batch_size", "learning_rate", "schedule", "channels"),
    "test_lists",
)


def render(folder: Path = RESULTS) -> str:
    """Renders all result files of a folder as Markdown, by file name."""
    return "\n\n".join(
        _table(path.stem, storage.read_json(path)) for path in sorted(folder.glob("*.json"))
    )


def contest() -> str:
    """Renders the committed contests over n."""
    return contest_tables.over_lengths(contest_tables.read(RESEARCH))


def contest_of_each_length() -> str:
    """Renders the committed contests one by one."""
    return "\n\n".join(
        f"### n = {n}\n\n{contest_tables.of_length(report)}\n\n"
        f"([numbers](../{_relative(RESEARCH / f'contest_n{n}.json')}))"
        for n, report in contest_tables.read(RESEARCH).items()
    )


def longer() -> str:
    """Renders the committed contests of some families with more steps."""
    return _all(contest_tables.of_length, RESEARCH.glob("longer_n*.json"))


def teaching() -> str:
    """Renders the committed runs of `experiments/teaching.py`, with a figure of each."""
    paths = sorted(RESEARCH.glob("teaching_*.json"))
    figures = [
        f"![How often an element is where P has it, over its weight: {path.stem}]"
        f"(../{_relative(path.with_suffix('.png'))})"
        for path in paths
    ]
    return "\n\n".join([_all(research_tables.teaching, paths), *figures])


def teachers() -> str:
    """Renders whether what is near the likelihood teaches."""
    report = storage.read_json(RESEARCH / "teaching_thurstone.json")
    return research_tables.teachers(report, contest_tables.read(RESEARCH))


def quick_search() -> str:
    """Renders the committed runs of `experiments/quick_search.py`."""
    return "\n\n".join(
        _linked(research_tables.quick_search(storage.read_json(path), path.stem), path)
        for path in sorted(RESEARCH.glob("quick_search_*.json"))
    )


def order_quality() -> str:
    """Renders the committed run of `experiments/order_quality.py`."""
    return _all(research_tables.order_quality, [ORDER_QUALITY])


def steadiness() -> str:
    """Renders the committed runs of `experiments/stability.py`."""
    return _all(research_tables.steadiness, RESEARCH.glob("stability*.json"))


def variants() -> str:
    """Renders the committed runs of `experiments/variants.py`."""
    return _all(research_tables.variants, RESEARCH.glob("variants*.json"))


def multi_task() -> str:
    """Renders the committed run of `experiments/multi_task.py`."""
    return _all(research_tables.multi_task, RESEARCH.glob("multi_task*.json"))


def choices() -> str:
    """Renders what the searches of the committed contests say of single choices."""
    return research_tables.choices(contest_tables.read(RESEARCH))


def levels() -> str:
    """Renders what the searches found with noise levels and without."""
    return research_tables.levels(contest_tables.read(RESEARCH))


def _all(render: Callable[[dict[str, Any]], str], paths: Iterable[Path]) -> str:
    """Renders files, each with a link to it."""
    return "\n\n".join(_linked(render(storage.read_json(path)), path) for path in sorted(paths))


def _linked(text: str, path: Path) -> str:
    return f"{text}\n\n([numbers](../{_relative(path)}))"


def updated(path: Path) -> str:
    """A document with all its tables as the result files have them."""
    text = path.read_text(encoding="utf-8")
    for section, tables in SECTIONS[path].items():
        text = replace(text, section, tables())
    return text


def operators_speed() -> str:
    """Renders the committed run of `experiments/benchmark.py`; nothing if there is none."""
    if not OPERATORS_SPEED.exists():
        return ""
    text = speed_tables.operators_table(storage.read_json(OPERATORS_SPEED))
    if OPERATORS_SPEED.with_suffix(".png").exists():
        text += f"\n\n![Time of a list over n](../{_relative(OPERATORS_SPEED.with_suffix('.png'))})"
    return text


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _table(name: str, report: dict[str, Any]) -> str:
    config = report["config"]
    height, width, _ = report["picture"]
    seeds = len(report["seeds"])
    machine = report["machine"]
    cores = f" with {machine['cpus']} cores" if machine["backend"] == "cpu" else ""
    lines = [
        f"**{TITLES[config['dataset']]}**, lists of n = {config['n']} numbers of four digits "
        f"({height}×{width} pixels), {config['steps']:,} steps of {config['batch_size']} lists, "
        f"{config['test_lists']:,} test lists, {seeds} seed{'s' if seeds > 1 else ''}, "
        f"{machine['device']}{cores}. {_reduction(config)}"
        f"([{name}.json](experiments/results/{name}.json))",
        "",
        "| operator | EM | EW | EM5 |",
        "| --- | --- | --- | --- |",
    ]
    for row in report["summary"]:
        cells = " | ".join(cell(row[metric]) for metric in METRICS)
        lines.append(f"| `{row['operator']}` | {cells} |")
    return "\n".join(lines)


def _reduction(config: dict[str, Any]) -> str:
    """Says in what a run on a published data set differs from the published experiment."""
    if config["dataset"] not in PUBLISHED_DATASETS:
        return ""
    differences = [
        f"{name} {_plain(config[name])} for {_plain(PUBLISHED[name])}"
        for name in REDUCTIONS
        if name in config and _plain(config[name]) != _plain(PUBLISHED[name])
    ]
    if not differences:
        return "The published protocol. "
    return f"Reduced from the published protocol: {'; '.join(differences)}. "


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "/".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


SECTIONS: dict[Path, dict[str, Callable[[], str]]] = {
    README: {
        "contest": contest,
        "results": render,
        "speed": lambda: speed_tables.speed_table(storage.read_json(SPEED)),
    },
    OUTCOME: {
        "contest": contest,
        "contest-each": contest_of_each_length,
        "longer": longer,
        "choices": choices,
        "levels": levels,
        "teaching": teaching,
        "teachers": teachers,
        "order-quality": order_quality,
    },
    NOTES: {
        "quick-search": quick_search,
        "variants": variants,
        "multi-task": multi_task,
        "stability": steadiness,
    },
    OPERATORS: {"operators-speed": operators_speed},
}

if __name__ == "__main__":
    plots.contests(contest_tables.read(RESEARCH), CURVES)
    for path in RESEARCH.glob("teaching_*.json"):
        plots.calibration(storage.read_json(path), path.with_suffix(".png"))
    for path in SECTIONS:
        path.write_text(updated(path), encoding="utf-8")
