# SPDX-License-Identifier: Apache-2.0
"""The examples do what they say, in fewer steps, and stay short."""

import runpy
from pathlib import Path

import jax
import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(name, **settings):
    with jax.numpy_rank_promotion("allow"):  # an example may broadcast as JAX does
        return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](**settings)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_each_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.slow
def test_plain_jax_learns_an_order():
    assert run("plain_jax", steps=100) > 0.8


def test_a_flax_module_learns_ranks():
    before, after = run("flax_nnx", steps=150)
    assert after < 0.2 < 1 < before


@pytest.mark.slow
def test_an_equinox_module_learns_a_centre():
    before, after = run("equinox_module", steps=150)
    assert after < 0.1 * before


def test_soft_ranks_raise_the_exact_metric():
    before, after = run("ndcg", steps=100)
    assert before < 0.7 and after > 0.95


@pytest.mark.slow
def test_soft_ranks_of_lists_of_different_lengths_raise_it_too():
    before, after = run("padded_ndcg", steps=100)
    assert before < 0.8 and after > 0.95


@pytest.mark.slow
def test_soft_ranks_of_such_lists_raise_the_rank_correlation():
    before, after = run("padded_spearman", steps=100)
    assert before < 0.7 and after > 0.95


@pytest.mark.slow
def test_neighbours_become_those_of_the_same_class():
    before, after = run("retrieval", steps=100)
    assert before < 0.6 and after > 0.9


def test_outliers_are_left_out():
    found = run("robust_regression", steps=200)
    mean, median, trimmed = found["mean, median, trimmed"]
    assert mean > 10 and abs(median - 1.1) < 0.05 and abs(trimmed - 1.1) < 0.05
    assert median != 1.1  # softly
    slope, offset = found["least quantile"]
    assert abs(slope - 2) < 0.1 and abs(offset - 1) < 0.1
    assert abs(found["least squares"][1] - 1) > 0.5


def test_the_useful_features_are_chosen():
    assert run("top_k", steps=200) == [4, 11, 17]


@pytest.mark.peers
def test_pytorch_trains_through_the_sort():
    pytest.importorskip("torch")
    before, after = run("torch_dlpack", steps=100)
    assert abs(before - 2) > 1 and abs(after - 2) < 0.1
