# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of results into README.md, from the result files in the repository.

  python experiments/report.py

A comparison enters the README by copying its `results.json` to `experiments/results/`.
"""

import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: its folder would stand for the repository's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments import storage
from experiments.config import PUBLISHED, PUBLISHED_DATASETS
from experiments.results import METRICS, cell

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "experiments" / "results"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"

TITLES = {
    "digits": "scikit-learn's digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "svhn_cropped": "SVHN",
}

# In the order a reader wants them; what the title says already is left out.
REDUCTIONS = ("resolution", "steps", "batch_size", "learning_rate", "channels", "test_lists")


def render(folder: Path = RESULTS) -> str:
    """Renders all result files of a folder as Markdown, by file name."""
    return "\n\n".join(
        _table(path.stem, storage.read_json(path)) for path in sorted(folder.glob("*.json"))
    )


def replace(text: str, tables: str) -> str:
    """Puts tables between the markers in a text."""
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{tables}\n{END}{tail}" if tables else f"{head}{BEGIN}\n{END}{tail}"


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
        if _plain(config[name]) != _plain(PUBLISHED[name])
    ]
    if not differences:
        return "The published protocol. "
    return f"Reduced from the published protocol: {'; '.join(differences)}. "


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "/".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    README.write_text(replace(README.read_text(encoding="utf-8"), render()), encoding="utf-8")
