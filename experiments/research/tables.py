# SPDX-License-Identifier: Apache-2.0
"""The results of the other studies as Markdown."""

import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.common import identities
from experiments.common.reports import markdown
from experiments.four_digits.config import essence, read_method
from experiments.four_digits.losses import SCALED
from experiments.research import stability
from experiments.research.contest_tables import Reports
from experiments.research.contest_tables import rows as contest_rows
from experiments.research.families import CONTROLS, OURS, TITLES, WITH_NOISE_SCALES
from experiments.research.quick_search import FLAGS as QUICK

TRUTHS = {"cauchy_likelihood": "scores with Cauchy noise", "plackett_luce": "Plackett-Luce"}
CHOICES = {
    "default": "as it is",
    "no_places": "no place pointer: P is read from predecessors",
    "no_comparisons": "no comparisons among the inputs",
    "max": "CLRS's maximum alone, no mean beside it",
    "clrs": "CLRS's network: none of the three",
}
INPUTS = {
    "comparisons": "keys and comparisons",
    "clrs": "keys, as in CLRS",
    "places": "keys and comparisons, with places",
    "places_alone": "keys, with places",
}


def _percent(values: Sequence[float]) -> str:
    """Mean and sample standard deviation of shares, in percent."""
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.fmean(values):.1f}{spread}"


def gradient_quality(report: dict[str, Any]) -> str:
    """Alignment and calibration of each loss, at each n in turn, for one law of orders."""
    config, records = report["config"], report["records"]
    shares = [share["share"] for share in records[0]["shares"]]
    rows = []
    for method in dict.fromkeys(record["method"] for record in records):
        own = [record for record in records if record["method"] == method]
        errors = [f"{100 * r['calibration']['error']:.1f}" for r in own if "calibration" in r]
        cells = [f"`{method}`", " / ".join(errors) or "-"]
        for i in range(len(shares)):
            cells.append(" / ".join(f"{r['shares'][i]['alignment']:.2f}" for r in own))
        rows.append(cells)
    lengths = " / ".join(map(str, config["lengths"]))
    heads = ["loss", "calibration error %", *(f"cosine at {share:g}" for share in shares)]
    return (
        f"**Orders of {TRUTHS[config['truth']]}**, {config['lists']:,} lists of each n, scores "
        f"normal with standard deviation {config['spread']:g}; n = {lengths}:\n\n"
    ) + markdown(heads, rows)


def teachers(report: dict[str, Any], contests: Reports) -> str:
    """The cosine at a share of 0 beside test EM, and how the two are ranked alike.

    A family is in the table where its chosen operator and loss were measured, at whatever
    temperature: the measurement finds the scale of the scores itself. It has no noise scales.
    """
    found: dict[int, dict[str, tuple[float, float]]] = {}
    for n, contest in contests.items():
        own = [record for record in report["records"] if record["n"] == n]
        cosines = {
            _without_temperature(record["identity"]): record["shares"][0]["alignment"]
            for record in own
        }
        for name, row in contest_rows(contest).items():
            cosine = cosines.get(_without_temperature(contest["methods"][row["operator"]]))
            if cosine is not None:
                found.setdefault(n, {})[name] = cosine, row["em"]["mean"]
    lines = []
    for name in TITLES:
        if any(name in each for each in found.values()):
            cells = [each.get(name) for each in found.values()]
            texts = ["-" if c is None else f"{c[0]:.2f}, {100 * c[1]:.1f}" for c in cells]
            lines.append([TITLES[name], *texts])
    lines.append(["*rank correlation*", *(_rank_correlation(each) for each in found.values())])
    return markdown(["cosine at 0, EM %", *(f"n = {n}" for n in found)], lines)


def _without_temperature(identity: Mapping[str, Any]) -> str:
    """What a method is at any temperature, of its operator or its loss."""
    parts = essence(identity)
    kept = {
        part: settings and {name: v for name, v in settings.items() if name != "temperature"}
        for part, settings in parts.items()
    }
    return json.dumps(kept, sort_keys=True)


def _rank_correlation(pairs: Mapping[str, tuple[float, float]]) -> str:
    """Spearman's, with the number of methods; none of fewer than five."""
    if len(pairs) < 5:
        return "-"
    ranks = np.argsort(np.argsort(np.array(list(pairs.values())), axis=0), axis=0)
    return f"{np.asarray(np.corrcoef(ranks.T))[0, 1]:+.2f} of {len(pairs)}"


def order_quality(report: dict[str, Any]) -> str:
    """Micro-F1 of reasoners by their inputs and sort, over seeds."""
    config = report["config"]
    found: dict[tuple[str, str], list[float]] = {}
    for record in report["records"]:
        found.setdefault((record["inputs"], record["algorithm"]), []).append(record["micro_f1"])
    rows = [
        [
            algorithm.replace("_", " "),
            INPUTS[inputs],
            _percent(scores),
            f"{100 * min(scores):.1f}",
            str(len(scores)),
        ]
        for (inputs, algorithm), scores in found.items()
    ]
    head = (
        f"Hidden size {config['hidden_size']}, {config['steps']:,} steps of lists of "
        f"{', '.join(map(str, config['lengths']))} keys; test on {config['test_lists']} lists of "
        f"{config['n']}.\n\n"
    )
    return head + markdown(["sort", "inputs", "micro-F1 %", "lowest seed", "seeds"], rows)


def steadiness(report: dict[str, Any]) -> str:
    """Scores on longer lists at the end, by choice of a checkpoint, and how much they swing."""
    config = report["config"]
    rows = [
        [
            row["weights"],
            row["kind"],
            *(_percent(row[name]) for name in ("last", "chosen", "swing")),
        ]
        for row in stability.summary(report)
    ]
    head = (
        f"{config['algorithm'].replace('_', ' ').capitalize()}, {INPUTS[config['inputs']]}, hidden "
        f"size {config['hidden_size']}, {config['steps']:,} steps of lists of "
        f"{', '.join(map(str, config['lengths']))} keys, tested every {config['every']} on "
        f"{config['test_lists']} lists of {config['n']}; {config['seeds']} seeds:\n\n"
    )
    chosen = f"at the best step for n = {config['n_choice']}"
    heads = ["weights", "training", "micro-F1 % at the end", chosen, "swing"]
    return head + markdown(heads, rows)


def quick_search(report: dict[str, Any], name: str) -> str:
    """Test EM and EW of each method of one quick search, and the command that writes it again."""
    config = report["config"]
    rows = [
        [
            f"`{record['method']}`",
            _percent(record["em"]),
            _percent(record["ew"]),
            f"{record['seconds']:.0f}",
        ]
        for record in sorted(report["records"], key=lambda r: -statistics.fmean(r["em"]))
    ]
    optional = {
        "anneal": "temperatures from {:g} times their own",
        "fine_tune": "the reasoner tuned at {:g} times the rate",
    }
    asked = {name: text.format(config[name]) for name, text in optional.items() if name in config}
    said = ", ".join([f"learning rate {config['learning_rate']:g}", *asked.values()])
    head = (
        f"n = {config['n']}, {config['steps']:,} steps of {config['batch_size']} lists, "
        f"{config['seeds']} seeds, {said}:\n\n"
    )
    others = [key for key in ("dataset", "test_lists") if config[key] != QUICK[key].default]
    settings = ("n", "steps", "batch_size", "learning_rate", "seeds", *asked, *others)
    flags = [f"--{key}={config[key]}" for key in settings]
    flags.append(f"--methods={','.join(record['method'] for record in report['records'])}")
    flags.append(f"--out=runs/{name}.json")
    command = " \\\n  ".join(["python -m experiments.research.quick_search", *flags])
    table = markdown(["method", "EM", "EW", "s"], rows)
    earlier = identities.of_earlier_weights(
        (record["method"], record["weights"], read_method(record["method"], "auto").weights)
        for record in report["records"]
        if record.get("weights")
    )
    return "\n\n".join(filter(None, [f"{head}{table}", earlier, f"```bash\n{command}\n```"]))


def quick_search_in_short(reports: Sequence[dict[str, Any]]) -> str:
    """Test EM of each method at each n, and a dash where it was not tried."""
    found = [{record["method"]: record["em"] for record in it["records"]} for it in reports]
    methods = dict.fromkeys(method for own in found for method in own)
    best = {m: max(statistics.fmean(own[m]) for own in found if m in own) for m in methods}
    rows = [
        [f"`{method}`", *(_percent(own[method]) if method in own else "-" for own in found)]
        for method in sorted(methods, key=lambda method: -best[method])
    ]
    return markdown(["method", *(f"n = {it['config']['n']}" for it in reports)], rows)


def ablations(report: dict[str, Any]) -> str:
    """How near reasoners trained otherwise come to the mean run, on their longest lists."""
    config = report["config"]
    n = max(config["lengths"])
    rows = []
    for record in report["records"]:
        readout = "two_ended" if record["ablation"] == "no_hints" else "run"
        cells = [_cell(row, "steps", readout) for row in record["distances"] if row["n"] == n]
        exact = f"{100 * record['scores']['exact_order'][str(n)]:.1f}"
        rows.append([record["ablation"].replace("_", " "), *cells, exact])
    first = report["records"][0]["distances"]
    spreads = [f"spread {row['spread']:g}" for row in first if row["n"] == n]
    head = (
        f"Insertion sort, {config['noise'].capitalize()} noise, {config['steps']:,} steps of lists "
        f"of {', '.join(map(str, config['lengths']))} keys, seed {config['seed']}; at n = {n}, "
        "distances of pointers, of P by the steps, and of P in nats:\n\n"
    )
    return head + markdown(["changed", *spreads, "exact order %"], rows)


def network_choices(reports: Sequence[dict[str, Any]]) -> str:
    """The effect of each choice of the executed sort: ablations, one file for each seed."""
    config = reports[0]["config"]
    n = max(config["lengths"])
    rows = []
    for name in (record["ablation"] for record in reports[0]["records"]):
        own = [r for report in reports for r in report["records"] if r["ablation"] == name]
        each = [[row for row in record["distances"] if row["n"] == n] for record in own]
        cells = []
        for spread in config["measured"]["spreads"]:
            found = [r["permutation"] for part in each for r in part if r["spread"] == spread]
            sd = f" ± {statistics.stdev(found):.3f}" if len(found) > 1 else ""
            cells.append(f"{statistics.fmean(found):.3f}{sd}")
        exact = _percent([record["scores"]["exact_order"][str(n)] for record in own])
        rows.append([CHOICES.get(name, name.replace("_", " ")), *cells, exact, str(len(own))])
    spreads = [f"spread {spread:g}" for spread in config["measured"]["spreads"]]
    head = (
        f"Insertion sort, {config['noise'].capitalize()} noise, hidden size "
        f"{config['hidden_size']}, {config['steps']:,} steps of lists of "
        f"{', '.join(map(str, config['lengths']))} keys; at n = {n}, the distance of P in nats a "
        "position, mean ± standard deviation over seeds:\n\n"
    )
    return head + markdown(["network", *spreads, "exact order %", "seeds"], rows)


def _cell(row: Mapping[str, Any], *readouts: str) -> str:
    """Distances of pointers and of P; reports of the networks without places have readouts."""
    if "permutation" in row:
        found = [row["permutation"]]
    else:
        found = [row["learned"][readout]["divergence"] for readout in readouts]
    return ", ".join(f"{value:.3f}" for value in (row["pointers"], *found))


def multi_task(report: dict[str, Any]) -> str:
    """How near reasoners come to the mean runs of their sorts, each alone or with one processor."""
    config = report["config"]
    n = max(config["lengths"])
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in report["records"]:
        for row in record["distances"]:
            if row["n"] == n:
                found.setdefault((row["algorithm"], record["kind"]), []).append(row)
    rows = []
    for (algorithm, kind), own in sorted(found.items()):
        cells = []
        for row in own:
            readout = "run" if "run" in row.get("learned", {}) else "two_ended"
            cells.append(_cell(row, readout))
        rows.append([algorithm.replace("_", " "), kind, *cells])
    spreads = [f"spread {spread:g}" for spread in config["measured"]["spreads"]]
    head = (
        f"{config['noise'].capitalize()} noise, {config['steps']:,} steps of each sort, lists of "
        f"{', '.join(map(str, config['lengths']))} keys, seed {config['seed']}; at n = {n}, "
        "distances of pointers and of P in nats:\n\n"
    )
    return head + markdown(["sort", "processor", *spreads], rows)


def choices(reports: Reports) -> str:
    """What a choice changes in EM5 of validation, among candidates that differ in it alone."""
    questions: Mapping[str, Callable[[str], str | None]] = {
        "cross-entropy of rows instead of bce": _swapped("@bce", "@rows"),
        "noise scales": lambda spec: None if SCALED in spec else spec + SCALED,
    }
    rows = []
    for question, other in questions.items():
        for n, report in reports.items():
            gaps = list(_gaps(report["search"]["families"].values(), other))
            if gaps:
                points = f"{100 * statistics.fmean(gaps):+.1f}"
                if len(gaps) > 1:
                    points += f" ± {100 * statistics.stdev(gaps) / math.sqrt(len(gaps)):.1f}"
                better = f"{sum(gap > 0 for gap in gaps)} of {len(gaps)}"
                rows.append([question, str(n), better, points])
    return markdown(["choice", "n", "better in", "points of EM5, ± standard error"], rows)


def noise_scales(reports: Reports) -> str:
    """The best candidate of the searches, with noise scales and without, by EM5 of validation."""
    kinds: Mapping[str, tuple[tuple[str, ...], bool]] = {
        **{
            f"{TITLES[name]}, {kind}": ((name,), scaled)
            for name in OURS
            if any(name in report["search"]["families"] for report in reports.values())
            for kind, scaled in (("with noise scales", True), ("without", False))
        },
        "Cauchy network, with noise scales": ((WITH_NOISE_SCALES,), True),
        "best sort of others, without": (
            tuple(name for name in TITLES if name not in (*OURS, WITH_NOISE_SCALES, *CONTROLS)),
            False,
        ),
        "exact Cauchy likelihood, with noise scales": (("cauchy_likelihood",), True),
        "exact Cauchy likelihood, without": (("cauchy_likelihood",), False),
    }
    rows = []
    for title, (names, scaled) in kinds.items():
        cells = []
        for report in reports.values():
            families = report["search"]["families"]
            scores = {
                spec: score
                for name in names
                for spec, score in families.get(name, {"validation_em5": {}})[
                    "validation_em5"
                ].items()
                if (SCALED in spec) == scaled
            }
            best = max(scores, key=scores.__getitem__) if scores else None
            cells.append("-" if best is None else f"{100 * scores[best]:.1f}")
        rows.append([title, *cells])
    return markdown(["best candidate", *(f"n = {n}" for n in reports)], rows)


def _swapped(end: str, other: str) -> Callable[[str], str | None]:
    return lambda spec: spec.removesuffix(end) + other if spec.endswith(end) else None


def _gaps(
    families: Iterable[Mapping[str, Any]], other: Callable[[str], str | None]
) -> Iterable[float]:
    """Differences of validation EM5 between candidates with and without a choice."""
    for family in families:
        scores = family["validation_em5"]
        for spec, score in scores.items():
            changed = other(spec)
            if changed in scores:
                yield scores[changed] - score


def readouts_of_exact(report: dict[str, Any]) -> str:
    """How far each readout of the exact mean trace is from the mean permutation."""
    names = ("steps", "two_ended", "chain")
    rows = [
        [str(row["n"]), f"{row['spread']:g}", *_distances(row["exact"], names)]
        for row in report["records"]
        if "exact" in row
    ]
    return markdown(["n", "spread", *names], rows)


def readouts_of_learned(report: dict[str, Any]) -> str:
    """The same for the shipped networks, and how far their pointers are off."""
    names = ("run", "steps", "two_ended")
    rows = [
        [
            f"{row['algorithm'].replace('_', ' ')}, {row['noise']}",
            str(row["n"]),
            f"{row['spread']:g}",
            f"{row['pointers']:.3f}",
            *_distances(row["learned"], names),
        ]
        for row in report["records"]
    ]
    return markdown(["sort, noise", "n", "spread", "pointers", *names], rows)


def _distances(found: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> list[str]:
    """Distance and disorder of readouts; a dash for one that is not there."""
    return [
        f"{round(found[name]['divergence'], 3) + 0.0:.3f}, {100 * found[name]['disorder']:.0f} %"
        if name in found
        else "-"
        for name in names
    ]
