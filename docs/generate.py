# SPDX-License-Identifier: Apache-2.0
"""Writes every generated table and figure of README.md and the documentation.

  python docs/generate.py

Tables of methods come from the registry, all others and their figures from the files in
`experiments/results`:

* `experiments/results/*.json`: the `results.json` of a comparison by `sort_numbers`, copied there;
* `speed/benchmark.json`, `speed/benchmark_reasoner.json`: written by `benchmarks.operators` and
  `benchmarks.reasoner`, with `--out`;
* `research/contest_n9.json` and so on: the `contest.json` of `research.contest`, copied there;
* `long/*.json`: the `results.json` of `sort_numbers`, trained for long, copied there; its
  `stopped` holds the curves of runs that were interrupted and not resumed;
* `precision/*.json`, `precision/mnist/*.json`: the `results.json` of `sort_numbers` with that
  `--precision`, copied there;
* `program_tasks/*.json`: the `results.json` of the script of that name, copied there;
* `neighbours/*.json`, `quantiles/*.json`: the `results.json` of `classify_neighbours` and of
  `quantile_regression`, copied there;
* all others: written by the study of that name in `experiments/research`, with `--out`.
"""

import dataclasses
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: its folder would stand for the repository's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import matplotlib

matplotlib.use("Agg")

from arlsort.operators import base, registry
from docs import drawing
from docs.result_files import (
    FIRST_RUNS,
    LENGTHS,
    LONG,
    NOISE_SCALES,
    ORDER_QUALITY,
    READOUTS,
    RESEARCH,
    RESULTS,
    ROOT,
    SPEED_OF_LEARNED,
    SPEED_OF_OPERATORS,
    SPEED_OF_PROGRAMS,
    SPEED_OF_QUADRATIC,
    SPEED_OF_REASONER,
    SPEED_OF_STEP,
    STUDIES,
    TRAINING_SEEDS,
)
from experiments.benchmarks import learned as learned_speed
from experiments.benchmarks import operator_tables, relaxed_programs, shipped, training_step
from experiments.benchmarks import quadratic as quadratic_speed
from experiments.benchmarks import tables as speed_tables
from experiments.common import storage
from experiments.common.reports import markdown
from experiments.denoising import results as denoising_results
from experiments.four_digits import results
from experiments.four_digits.losses import TABLE
from experiments.neighbours import results as neighbours_results
from experiments.program_tasks import tables as program_tables
from experiments.quantiles import results as quantiles_results
from experiments.research import card_tables, contest_tables, lengths, long_runs, precisions, tables
from experiments.research import noise_scales as own_noise
from experiments.research import training_seeds as seeds

# Of the registry


def methods() -> str:
    """Renders what each method is."""
    lines = ["| name | what it is | from |", "| --- | --- | --- |"]
    lines += [
        f"| `{name}` | {row.summary} | {row.paper} |" for name, row in registry.REGISTRY.items()
    ]
    return "\n".join(lines)


def costs() -> str:
    """Renders what each method costs."""
    lines = [
        "| name | time of the values | of P | memory of the values | of P |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in registry.REGISTRY.items():
        cells = (*_pair(row, "time"), *_pair(row, "memory"))
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def properties() -> str:
    """Renders what each method promises."""
    lines = [
        "| name | has P | doubly stochastic | equivariant | monotone | error of the values |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in registry.REGISTRY.items():
        operator, facts = row.build(), row.facts
        has = operator.has_permutation
        cells = (
            _word(has),
            _word(operator.doubly_stochastic) if has else "-",
            _word(operator.equivariant),
            _word(facts.monotone if facts else None),
            (facts.error if facts else "") or "no bound known",
        )
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def method_choices() -> str:
    """Renders what each method's temperature is, and when to take the method."""
    lines = [
        "| name | default temperature | what one temperature means | choose it when |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in registry.REGISTRY.items():
        facts = row.facts
        cells = (
            _temperature(row.build()),
            *((facts.temperature, facts.choose_when) if facts else ("-", "-")),
        )
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _pair(row: registry.Entry, of: str) -> tuple[str, str]:
    stated: tuple[str, ...] = getattr(row.facts, of) if row.facts else ()
    values, permutation, *_ = (*stated, "-", "-")
    return values, permutation


def _word(known: bool | None) -> str:
    return {True: "yes", False: "no", None: "not known"}[known]


def _temperature(operator: base.Operator) -> str:
    fields = {field.name: field.default for field in dataclasses.fields(operator)}
    return str(fields.get("temperature", "-"))


def losses() -> str:
    """Renders what can be minimised when only the order of a list is known."""
    rows = [
        (f"`{name}`", row.title, row.needs.title, _word(row.noise_scales))
        for name, row in TABLE.items()
    ]
    return markdown(["loss", "what it is", "needs", "takes noise scales"], rows)


# Of the result files


def comparisons(folder: Path = RESULTS) -> str:
    """Renders all comparisons in a folder, by file name."""
    link = "[{0}](../experiments/results/{0})"
    return "\n\n".join(
        results.section(storage.read_json(path), link.format(path.name))
        for path in sorted(folder.glob("*.json"))
    )


def speed_of_operators() -> str:
    """Renders the speed of every operator beside its peers."""
    table = operator_tables.operators_table(storage.read_json(SPEED_OF_OPERATORS))
    return f"{table}\n\n![Time of a list over n]({_link(SPEED_OF_OPERATORS.with_suffix('.png'))})"


def speed_of_reasoner() -> str:
    """Renders the speed of the reasoner beside CLRS's model."""
    report = storage.read_json(SPEED_OF_REASONER)
    remark = shipped.remark(report, ["learned"])
    table = speed_tables.speed_table(report)
    return f"{remark}\n\n{table}" if remark else table


def contests() -> dict[int, dict[str, Any]]:
    """The committed contests, by n."""
    return contest_tables.read(RESEARCH)


def contest_of_each_length() -> str:
    """Renders the contests one by one."""
    return "\n\n".join(
        f"### n = {n}\n\n"
        + _linked(contest_tables.of_length(report), RESEARCH / f"contest_n{n}.json")
        for n, report in contests().items()
    )


def gradient_quality() -> str:
    """Renders which gradients are those of the likelihood, with a figure of each run."""
    paths = sorted(RESEARCH.glob("gradient_quality_*.json"))
    figures = [
        f"![How often an element is where P has it, over its weight: {path.stem}]"
        f"({_link(path.with_suffix('.png'))})"
        for path in paths
    ]
    return "\n\n".join([_all(tables.gradient_quality, paths), *figures])


def teachers() -> str:
    """Renders whether a gradient near the likelihood's teaches well."""
    measured = storage.read_json(RESEARCH / "gradient_quality_cauchy_likelihood.json")
    return tables.teachers(measured, contests())


def quick_search() -> str:
    """Renders the quick searches."""
    return "\n\n".join(
        _linked(tables.quick_search(storage.read_json(path), path.stem), path)
        for path in sorted(RESEARCH.glob("quick_search_*.json"))
    )


def network_choices() -> str:
    """Renders what each choice of the executed sort is worth, over its seeds."""
    paths = sorted(RESEARCH.glob("network_choices_*.json"))
    links = ", ".join(f"[seed {path.stem[-1]}]({_link(path)})" for path in paths)
    return f"{tables.network_choices([*map(storage.read_json, paths)])}\n\n(numbers: {links})"


def speed_of_learned(part: str = "seconds", rival: str = learned_speed.RIVAL) -> str:
    """Renders what P, or a likelihood, costs by the learned sorts, with its conditions."""
    report = storage.read_json(SPEED_OF_LEARNED)
    config, machine = report["config"], report["machine"]
    where = f"{config['batch_size']} lists, {machine['backend']} with {machine['cpus']} cores"
    return _linked(f"{learned_speed.table(report, part, rival)}\n\n{where}", SPEED_OF_LEARNED)


def speed_of(path: Path, table: Callable[[dict[str, Any]], str], what: str) -> str:
    """Renders a benchmark with its conditions; `what` is formatted by its settings."""
    report = storage.read_json(path)
    known = report["machine"]
    where = f"{what.format(**report['config'])}, {known['backend']} with {known['cpus']} cores"
    return _linked(f"{table(report)}\n\n{where}", path)


def denoising() -> str:
    """Renders which method denoises series best, with pictures of series and learned matrices."""
    parts = []
    for path in sorted((RESULTS / "denoising").glob("*.json")):
        report = storage.read_json(path)
        parts.append(_linked(denoising_results.section(report), path))
        pictures = [path.with_name(f"{path.stem}_{what}.png") for what in ("series", "matrices")]
        parts += [f"![{it.stem}]({_link(it)})" for it in pictures if it.exists()]
    return "\n\n".join(parts)


def narrow_convolutions(folder: str) -> str:
    """Renders what narrower convolutions do to EM."""
    paths = sorted((RESULTS / folder).glob("*.json"))
    links = ", ".join(f"[{path.stem}]({_link(path)})" for path in paths)
    return f"{precisions.table([storage.read_json(path) for path in paths])}\n\n(numbers: {links})"


def _all(render: Callable[[dict[str, Any]], str], paths: Iterable[Path]) -> str:
    """Renders files, each with a link to it."""
    return "\n\n".join(_linked(render(storage.read_json(path)), path) for path in sorted(paths))


def _studies(render: Callable[[dict[str, Any]], str], pattern: str) -> Callable[[], str]:
    """Renders the files of a study."""
    return lambda: _all(render, RESEARCH.glob(pattern))


def _linked(text: str, path: Path) -> str:
    return f"{text}\n\n([numbers]({_link(path)}))"


def _link(path: Path) -> str:
    """A file as pages in docs/ link to it."""
    return f"../{path.relative_to(ROOT).as_posix()}"


SECTIONS: dict[Path, dict[str, Callable[[], str]]] = {
    ROOT / "README.md": {
        "contest": lambda: contest_tables.in_short(contests()),
    },
    ROOT / "experiments" / "README.md": {"losses": losses},
    ROOT / "docs" / "choosing.md": {"choices": method_choices},
    ROOT / "docs" / "operators.md": {
        "methods": methods,
        "costs": costs,
        "properties": properties,
        "operators-speed": speed_of_operators,
    },
    ROOT / "docs" / "learned_sort.md": {
        "amortized-gaussian": lambda: card_tables.amortized_accuracy("gaussian"),
        "amortized-cauchy": lambda: card_tables.amortized_accuracy("cauchy"),
        "learned-speed": speed_of_learned,
        "orders-accuracy": card_tables.orders_accuracy,
        "orders-speed": lambda: speed_of_learned("likelihoods", learned_speed.EXACT),
        "executed-accuracy": card_tables.executed_accuracy,
    },
    ROOT / "docs" / "programs.md": {
        "programs-speed": lambda: speed_of(
            SPEED_OF_PROGRAMS, relaxed_programs.table, "Batches of {batch_size} lists"
        )
    },
    ROOT / "docs" / "quadratic.md": {
        "denoising": denoising,
        "quadratic-speed": lambda: speed_of(
            SPEED_OF_QUADRATIC, quadratic_speed.table, "Batches of {batch_size} programs"
        ),
    },
    ROOT / "docs" / "neighbours.md": {
        "neighbours": lambda: neighbours_results.page(RESULTS / "neighbours", _link),
        "quantiles": lambda: quantiles_results.page(RESULTS / "quantiles", _link),
    },
    ROOT / "docs" / "results.md": {
        "long-runs": lambda: _all(long_runs.section, LONG.glob("*.json")),
    },
    ROOT / "docs" / "contest.md": {
        "contest": lambda: contest_tables.over_lengths(contests()),
        "contest-each": contest_of_each_length,
        "longer": _studies(contest_tables.of_length, "longer_n*.json"),
        "choices": lambda: tables.choices(contests()),
        "noise-scales": lambda: tables.noise_scales(contests()),
        "default": comparisons,
    },
    ROOT / "docs" / "teachers.md": {
        "gradient-quality": gradient_quality,
        "teachers": teachers,
    },
    ROOT / "docs" / "speed.md": {
        "speed": speed_of_reasoner,
        "training-step": lambda: speed_of(SPEED_OF_STEP, training_step.table, "{loss}"),
    },
    ROOT / "docs" / "program_tasks.md": program_tables.sections(RESULTS / "program_tasks", _link),
    STUDIES / "quick_search.md": {
        "quick-search-in-short": lambda: tables.quick_search_in_short(
            [storage.read_json(RESEARCH / f"quick_search_n{n}_losses.json") for n in (5, 9, 15)]
        ),
        "quick-search": quick_search,
    },
    STUDIES / "narrow_convolutions.md": {
        "precision": lambda: narrow_convolutions("precision"),
        "precision-mnist": lambda: narrow_convolutions("precision/mnist"),
    },
    STUDIES / "amortized.md": {
        "lengths": lambda: _all(lengths.table, [LENGTHS]),
        "own-noise": lambda: _all(own_noise.table, [NOISE_SCALES]),
        "training-seeds": lambda: _all(seeds.table, [TRAINING_SEEDS]),
    },
    STUDIES / "reasoner.md": {
        "ablations": _studies(tables.ablations, "ablations*.json"),
        "network-choices": network_choices,
        "multi-task": _studies(tables.multi_task, "multi_task*.json"),
        "stability": _studies(tables.steadiness, "stability*.json"),
        "order-quality": lambda: _all(tables.order_quality, [ORDER_QUALITY]),
    },
    STUDIES / "readouts.md": {
        "readouts-exact": lambda: tables.readouts_of_exact(storage.read_json(READOUTS)),
        "readouts-learned": lambda: tables.readouts_of_learned(storage.read_json(READOUTS)),
    },
    STUDIES / "trials.md": {
        "first-runs": lambda: results.section(
            storage.read_json(FIRST_RUNS), f"[numbers]({_link(FIRST_RUNS)})"
        )
    },
}
"""The generated sections of each page, by their markers."""


def replace(text: str, section: str, tables: str) -> str:
    """Puts tables between the markers of a section of a text."""
    begin, end = f"<!-- {section}:begin -->", f"<!-- {section}:end -->"
    head, rest = text.split(begin)
    _, tail = rest.split(end)
    return f"{head}{begin}\n{tables}\n{end}{tail}"


def updated(path: Path) -> str:
    """A page with all its tables as the registry and the result files have them."""
    text = path.read_text(encoding="utf-8")
    for section, render in SECTIONS[path].items():
        found = render()
        if path.parent == STUDIES:  # one folder deeper than links are made for
            found = found.replace("](../", "](../../")
        text = replace(text, section, found)
    return text


def main() -> None:
    """Writes all of them."""
    for path in SECTIONS:
        path.write_text(updated(path), encoding="utf-8")
    drawing.draw_methods()
    drawing.draw_results()


if __name__ == "__main__":
    main()
