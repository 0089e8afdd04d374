# SPDX-License-Identifier: Apache-2.0
"""The quick comparison: it learns, its seeds are apart, its file is whole after each method."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import datasets, storage
from experiments.research import quick_search
from tests.experiments.flags import kept, refusal

TINY = (
    *("--dataset=digits", "--n=3", "--batch_size=8", "--test_lists=200", "--seeds=2"),
    "--methods=loss:plackett_luce",
)


def run(*arguments):
    with kept(quick_search.FLAGS):
        quick_search.SCRIPT.run(["quick_search.py", *TINY, *arguments])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--seeds=0"], "--seeds: received 0"),
        (["--learning_rate=0"], "--learning_rate: received 0"),
        (["--out=here.txt"], "--out: received here.txt"),
        (["--methods=bogo@bce"], "bogo"),
        (["--anneal=0.5"], "--anneal: received 0.5"),
        (["--anneal=inf"], "--anneal: received inf"),
        (["--anneal=2", "--methods=sinkhorn@bce"], "--anneal: received it with sinkhorn@bce"),
        (["--fine_tune=1"], "--fine_tune: received it with loss:plackett_luce"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, message, capsys):
    assert message in refusal(lambda: run(*arguments), capsys)


@pytest.mark.slow
def test_it_learns_and_says_so(tmp_path):
    out = tmp_path / "found.json"
    run(
        "--steps=600",
        f"--out={out}",
        "--methods=loss:plackett_luce,odd_even:temperature=0.1,distribution=cauchy@bce",
    )
    report = storage.read_json(out)
    assert [record["method"] for record in report["records"]] == [
        "loss:plackett_luce",
        "odd_even:temperature=0.1,distribution=cauchy@bce",
    ]
    for record in report["records"]:
        assert min(record["em"]) > 0.35, record  # by chance 1/6
        assert len(set(record["em"])) == 2, "each seed is a network of its own"


@pytest.mark.slow
def test_annealing_and_tuning_change_what_is_learned(tmp_path):
    def found(*arguments):
        out = tmp_path / f"{len(arguments)}{''.join(arguments)}.json"
        method = "--methods=learned:noise=cauchy,temperature=0.1@likelihood"
        run("--steps=40", "--learning_rate=0.02", f"--out={out}", method, *arguments)
        report = storage.read_json(out)
        return report["records"][0]["ew"], report["config"]

    plain, _ = found()
    annealed, said = found("--anneal=10")
    assert annealed != plain and said["anneal"] == 10
    tuned, said = found("--fine_tune=0.5")
    assert tuned != plain and said["fine_tune"] == 0.5


def test_components_are_at_unit_scale_and_centred():
    seen, test = quick_search.components(datasets.load("digits"))
    assert seen.features.shape[1] == test.features.shape[1] == quick_search.COMPONENTS
    np.testing.assert_allclose(seen.features.mean(0), np.zeros(quick_search.COMPONENTS), atol=0.1)
    assert abs(seen.features.std(0).mean() - 1) < 0.01
    assert (jnp.diff(seen.features.std(0)) < 0.01).all(), "the first says most"
