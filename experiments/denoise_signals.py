# SPDX-License-Identifier: Apache-2.0
"""Learns to denoise series, with a quadratic program as a layer or without.

Each method learns from noisy series and their clean form: total variation with the weight
that is best on validation series, OptNet with a difference matrix that starts at random or as total
variation, a dense network and a convolutional one.

  python experiments/denoise_signals.py
  python experiments/denoise_signals.py --dataset=eeg --denoisers=total_variation,optnet_tv
  python experiments/denoise_signals.py --protocol=published --out_dir=runs/denoise_published

Add --resume to continue an interrupted comparison after its last finished run.
"""

import dataclasses
import functools
import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: its folder would stand for the repository's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from absl import flags

from experiments.common.command_line import (
    FlagError,
    Script,
    check_at_least,
    check_choices,
    definers,
    refused,
)
from experiments.common.reports import measure_once, open_report, print_settings
from experiments.denoising import data, results
from experiments.denoising.config import (
    DATASETS,
    DEFAULTS,
    EEG_EPOCHS,
    METHODS,
    PROTOCOLS,
    Config,
    resolve,
)
from experiments.denoising.models import MODELS
from experiments.denoising.training import run

QUICK, PUBLISHED = DEFAULTS["quick"], DEFAULTS["published"]
FLAGS = flags.FlagValues()
define = definers(FLAGS)


def _help(name: str, text: str) -> str:
    quick, published = getattr(QUICK, name), getattr(PUBLISHED, name)
    return f"{text} (default: {quick}" + (
        f"; published: {published})" if published != quick else ")"
    )


# No default is given to absl, so that a protocol can tell what was asked for.
define.enum("protocol", "quick", PROTOCOLS, "quick: minutes; published: sizes and rates of OptNet.")
define.enum("dataset", None, DATASETS, _help("dataset", "Series."))
define.list("denoisers", list(METHODS), "Methods to compare.")
define.integer("seeds", 3, "Runs of each method: seeds 0, 1, ...")
define.integer("length", None, _help("length", "Elements of a series."))
define.integer("train", None, _help("train", "Series to learn from; the EEG record has its own."))
define.integer("validation", None, _help("validation", "Series to choose by."))
define.integer("test", None, _help("test", "Series to report on."))
define.integer("batch_size", None, _help("batch_size", "Series in a step."))
define.integer(
    "epochs",
    None,
    _help("epochs", f"Passes over the series to learn from; {EEG_EPOCHS} over the EEG record's."),
)
define.float("optnet_rate", None, _help("optnet_rate", "Adam's, of OptNet from scratch."))
define.float("optnet_tv_rate", None, _help("optnet_tv_rate", "Adam's, from total variation."))
define.float("network_rate", None, _help("network_rate", "Adam's, of the networks."))
define.string("out_dir", "runs/denoise_signals", "Where to write.")
define.boolean("resume", False, "Continue the comparison in --out_dir.")

SETTINGS = tuple(field.name for field in dataclasses.fields(Config))
# Of synthetic series: the EEG record decides how many windows there are.
SIZES = ("train", "validation", "test")


def settings() -> dict[str, Any]:
    """The resolved configuration.

    Raises:
      FlagError: If a setting is not allowed, or would change nothing.
    """
    config = dataclasses.asdict(
        resolve(FLAGS.protocol, {name: FLAGS[name].value for name in SETTINGS})
    )
    for name, least in (("length", 4), ("batch_size", 1), ("epochs", 1), *((s, 1) for s in SIZES)):
        if config[name] < least:
            raise refused(name, config[name], f"an integer >= {least}")
    for name in ("optnet_rate", "optnet_tv_rate", "network_rate"):
        if not 0 < config[name] < 10:
            raise refused(name, config[name], "a number > 0 and < 10")
        models = [method for method, model in MODELS.items() if model.rate == name]
        if FLAGS[name].present and not set(models) & set(FLAGS.denoisers):
            raise refused(name, config[name], f"nothing without --denoisers={','.join(models)}")
    if config["dataset"] == "eeg":
        for name in SIZES:
            if FLAGS[name].value is not None:
                raise refused(name, FLAGS[name].value, "nothing with --dataset=eeg")
            del config[name]
        if config["length"] > 100:
            raise refused("length", config["length"], "at most 100 with --dataset=eeg")
    return config


def main() -> None:
    """Runs the comparison and reports."""
    check_at_least(FLAGS, "seeds", 1)
    check_choices(FLAGS, "denoisers", METHODS)
    config = settings()
    folder = Path(FLAGS.out_dir)
    out = folder / "results.json"
    if out.exists() and not FLAGS.resume:
        raise FlagError(f"--out_dir: {folder} holds results; add --resume or name another")
    report = open_report("denoise_signals", config, out, "out_dir")
    rows = len(data.load(Config(**config), 0).train.noisy)
    if config["batch_size"] > rows:
        raise refused("batch_size", config["batch_size"], f"1 to {rows}, the series to learn from")
    print_settings(config, folder)
    for seed in range(FLAGS.seeds):
        for method in FLAGS.denoisers:
            identity = {"method": method, "seed": seed}
            measure = functools.partial(run, Config(**config), method, seed)
            record = measure_once(report, out, identity, measure)
            done = "done before" if record is None else f"test MSE {record['mse']['test']:.2f}"
            print(f"{method} seed {seed}: {done}", flush=True)
    written = [
        out,
        results.draw_series(report, folder / "series.png"),
        results.draw_matrices(report, folder / "matrices.png"),
    ]
    print("\n" + results.table(report) + "\n")
    print("\n".join(map(str, written)))


SCRIPT = Script("denoise_signals", __doc__, FLAGS, main, (OSError,))

if __name__ == "__main__":
    SCRIPT.run(sys.argv)
