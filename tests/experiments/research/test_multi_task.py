# SPDX-License-Identifier: Apache-2.0
"""Several sorts on one processor: what is shared is shared, and each learns from its own."""

import jax
import numpy as np
import pytest

from arlsort.reasoner import checkpoint
from arlsort.reasoner.config import ReasonerConfig, TrainingConfig
from experiments.common import storage
from experiments.research import mean_distances, multi_task, reasoner_studies
from tests.experiments.flags import kept, refusal

SCHEDULE = TrainingConfig(lengths=(3,), batch_size=2, copies=2, steps=3, warmup_steps=1)


def run(*arguments):
    with kept(multi_task.FLAGS):
        multi_task.SCRIPT.run(["multi_task.py", *arguments])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--kinds=both"], "--kinds: received 'both'"),
        (["--steps=0"], "--steps: received 0"),
        (["--out=here.txt"], "--out: received here.txt"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, message, capsys):
    assert message in refusal(lambda: run(*arguments), capsys)


@pytest.mark.slow
def test_the_processor_is_shared_and_nothing_else():
    reasoners = {name: ReasonerConfig(name, hidden_size=4) for name in multi_task.SORTS[:2]}
    first, second = multi_task.train_shared(reasoners, SCHEDULE).values()
    assert set(first) == set(second), "these two have the same hints"
    same = {
        module: all(np.array_equal(first[module][name], second[module][name]) for name in leaves)
        for module, leaves in first.items()
    }
    assert any(same.values()) and not all(same.values())
    assert same == {module: multi_task.PROCESSOR in module for module in same}


@pytest.mark.slow
def test_it_goes_on_and_one_sort_alone_is_trained_as_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(mean_distances, "LISTS", 2)
    monkeypatch.setattr(mean_distances, "COPIES", 20)
    monkeypatch.setattr(reasoner_studies, "SPREADS", (10.0,))
    monkeypatch.setattr(multi_task, "SORTS", ("insertion_sort",))
    out, folder = tmp_path / "found.json", tmp_path / "left"
    arguments = ("--lengths=2", "--steps=3", f"--folder={folder}", f"--out={out}")
    run("--kinds=shared", *arguments)
    (record,) = storage.read_json(out)["records"]
    (row,) = record["distances"]
    assert row["noise"] == "cauchy" and row["pointers"] >= -1e-6
    run(*arguments)
    separate, shared = (
        checkpoint.load(folder / f"{record['kind']}_insertion_sort.safetensors").params
        for record in sorted(storage.read_json(out)["records"], key=lambda r: r["kind"])
    )
    assert storage.read_json(out)["records"][0] == record, "it is not trained again"
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), separate, shared)
