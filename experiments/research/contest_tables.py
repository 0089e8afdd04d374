# SPDX-License-Identifier: Apache-2.0
"""The results of the contests as Markdown: one table over n, and one for each n."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.common import storage
from experiments.common.reports import markdown, stated
from experiments.four_digits.results import METRICS, cell, of_earlier_weights
from experiments.research import paired_tests
from experiments.research.contest import FLAGS, SHARED
from experiments.research.families import (
    CONTROLS,
    FAMILIES,
    OURS,
    TITLES,
    WITH_NOISE_SCALES,
    ours,
)

Reports = Mapping[int, dict[str, Any]]  # by n, ascending
SHORT = ("amortized", "learned", WITH_NOISE_SCALES, "cauchy", "lapsum", "cauchy_likelihood")
SHORT_LENGTHS = (5, 9, 15)


def read(folder: Path) -> dict[int, dict[str, Any]]:
    """Reads the contests of a folder, `contest_n9.json` and so on, by ascending n."""
    reports = [storage.read_json(path) for path in folder.glob("contest_n*.json")]
    return dict(sorted((report["config"]["n"], report) for report in reports))


def rows(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The summary of the chosen method of each family that was run, in the order of `TITLES`."""
    by_spec = {row["operator"]: row for row in report["summary"]}
    chosen = report["search"]["families"]
    return {
        name: by_spec[chosen[name]["chosen"]]
        for name in TITLES
        if name in chosen and chosen[name]["chosen"] in by_spec
    }


def best_rival(report: dict[str, Any]) -> str | None:
    """The family of the best published sort, by mean test EM."""
    rivals = {
        name: row["em"]["mean"]
        for name, row in rows(report).items()
        if name not in (*OURS, WITH_NOISE_SCALES, *CONTROLS)
    }
    return max(rivals, key=rivals.__getitem__) if rivals else None


def over_lengths(reports: Reports) -> str:
    """EM and, in brackets, EW of every family at every n; then how far ours is ahead."""
    heads = [
        f"n = {n}, {report['config']['steps']:,} steps, {_seeds(report)} seeds"
        for n, report in reports.items()
    ]
    lines = [f"| | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    for name in TITLES:
        if not any(name in report["search"]["families"] for report in reports.values()):
            continue
        cells = [_pair(report, name) for report in reports.values()]
        lines.append(f"| {_title(name)} | {' | '.join(cells)} |")
    for rival, said in (
        (None, "best published sort"),
        (WITH_NOISE_SCALES, TITLES[WITH_NOISE_SCALES]),
    ):
        for own in OURS:
            ahead = [
                _margin(report, own, rival or best_rival(report)) for report in reports.values()
            ]
            if set(ahead) != {"-"}:
                lines.append(f"| {TITLES[own]}, ahead of the {said} by | {' | '.join(ahead)} |")
    return "\n".join(lines)


def in_short(reports: Reports) -> str:
    """EM of a few methods at a few n, and the best published sort of each by its name."""
    shown = {n: rows(report) for n, report in reports.items() if n in SHORT_LENGTHS}
    lines = []
    for name in SHORT:
        cells = [cell(found[name]["em"]) if name in found else "-" for found in shown.values()]
        if set(cells) != {"-"}:
            lines.append([_title(name), *cells])
    best = {n: best_rival(reports[n]) for n in shown}
    cells = [
        f"{cell(shown[n][name]['em'])}, {TITLES[name]}" if name else "-" for n, name in best.items()
    ]
    heads = ["test EM, %", *(f"n = {n}" for n in shown)]
    return markdown(heads, [*lines, ["the best published sort", *cells]])


def _tried(report: dict[str, Any], name: str) -> int:
    """With how many seeds the chosen method of a family was run."""
    spec = report["search"]["families"][name]["chosen"]
    return sum(run["operator"] == spec for run in report["runs"] + report["failed"])


def _seeds(report: dict[str, Any]) -> str:
    """`3`, or `3 to 6` where some families were run with more seeds than others."""
    tried = {_tried(report, name) for name in report["search"]["families"]}
    return " to ".join(str(count) for count in sorted({min(tried), max(tried)}))


def _title(name: str) -> str:
    return f"*{TITLES[name]}*" if name in CONTROLS else TITLES[name]


def _leads(found: Mapping[str, dict[str, Any]], name: str) -> bool:
    """Whether a family is the best of those with its part, sorts or controls."""
    part = [each for each in found if (each in CONTROLS) == (name in CONTROLS)]
    return name in found and name == max(part, key=lambda each: found[each]["em"]["mean"])


def _pair(report: dict[str, Any], name: str) -> str:
    found = rows(report)
    if name not in found:
        return "diverged" if name in report["search"]["families"] else "-"
    row = found[name]
    text = f"{cell(row['em'])} ({100 * row['ew']['mean']:.1f})"
    tried = _tried(report, name)
    if row["seeds"] < tried:
        text += f", {row['seeds']} of {tried} seeds"
    elif "to" in _seeds(report):
        text += f", {tried} seed{'s' if tried > 1 else ''}"
    return f"**{text}**" if _leads(found, name) else text


def _margin(report: dict[str, Any], own: str, rival: str | None) -> str:
    """How far one of ours is ahead of a family, over the seeds that both have."""
    found = rows(report)
    if rival not in found or own not in found:
        return "-"
    specs = (found[name]["operator"] for name in (own, rival))
    pair = paired_tests.paired(report["runs"], *specs)
    if not pair["seeds"]:
        return "-"
    seeds = f"{pair['seeds']} seed{'s' if pair['seeds'] > 1 else ''}"
    return f"{paired_tests.points(pair)} ({TITLES[rival]}, {seeds})"


def paired(report: dict[str, Any], name: str) -> dict[str, Any] | None:
    """The difference of the first of ours from a family, over the seeds that both share."""
    spec = report["search"]["families"][name]["chosen"]
    return next((pair for pair in report["paired"] if pair["other"] == spec), None)


def of_length(report: dict[str, Any]) -> str:
    """Every family at one n: its settings, metrics, cost, our lead, and the way to run it again."""
    head = ("", "settings chosen", *(m.upper() for m in METRICS), "s", _ahead(report), "again")
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    fewest = min(_tried(report, name) for name in report["search"]["families"])
    for name, row in rows(report).items():
        pair, tried = paired(report, name), _tried(report, name)
        more = "" if tried == fewest else f" --seeds={tried}"
        cells = (
            _title(name),
            f"`{row['operator']}`",
            *(cell(row[metric]) for metric in METRICS),
            f"{row['seconds']:.0f}",
            "" if pair is None else paired_tests.points(pair),
            f"`--families={name}{more}`",
        )
        lines.append(f"| {' | '.join(cells)} |")
    failed = [run["operator"] for run in report["failed"]]
    if failed:
        lines += ["", f"Diverged: {', '.join(f'`{spec}`' for spec in failed)}."]
    if earlier := of_earlier_weights(report):
        lines += ["", earlier]
    return "\n".join([*lines, "", "```bash", command(report, fewest), "```"])


def _ahead(report: dict[str, Any]) -> str:
    own = ours(report["search"]["families"])
    return f"{TITLES[own]} ahead by" if own else "ahead by"


def command(report: dict[str, Any], fewest: int) -> str:
    """The command line that gave a report, with the fewest seeds of a family."""
    config = report["config"]
    flags = {name: config[name] for name in ("steps", *SHARED) if name != "n"}
    flags |= {"search_steps": report["search"]["steps"], "seeds": fewest}
    flags["channels"] = [str(channels) for channels in config["channels"]]  # as the flag has them
    folder = f"runs/contest_n{config['n']}"
    if config["steps"] != FLAGS["steps"].default:
        folder += f"_{config['steps']}"  # one folder has runs of so many steps alone
    words = ["python -m experiments.research.contest", f"--n={config['n']}", f"--out_dir={folder}"]
    run = [name for name in FAMILIES if name in report["search"]["families"]]
    if len(run) < len(FAMILIES):
        words.append(f"--families={','.join(run)}")
    defaults = {name: FLAGS[name].default for name in flags}
    return " ".join([*words, *stated(flags, defaults)])
