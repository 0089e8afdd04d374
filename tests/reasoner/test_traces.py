# SPDX-License-Identifier: Apache-2.0
"""The array programs record what CLRS's samplers record, element for element."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arlsort.reasoner.config import ALGORITHMS, PLACE, POINTER, algorithm_spec
from arlsort.reasoner.hints import output_pointers
from arlsort.reasoner.traces import places_of, predecessors, trace

LISTS = 6


def _lists(n: int) -> np.ndarray:
    """Half without and half with many ties."""
    rng = np.random.default_rng(n)
    distinct = rng.uniform(size=(LISTS // 2, n))
    return np.concatenate([distinct, rng.integers(0, 3, (LISTS // 2, n))]).astype(np.float32)


def _probes(clrs, algorithm: str, keys: np.ndarray):
    from clrs._src import algorithms, probing

    _, probes = getattr(algorithms, algorithm)(keys.copy())
    _, outputs, hints = probing.split_stages(probes, clrs.SPECS[algorithm])
    return outputs[0].data[0], {hint.name: hint.data[:, 0] for hint in hints}


# On both sides of the powers of two; CI tries all.
FEW = (2, 3, 4, 5, 8, 9, 16, 17, 32)


@pytest.mark.parametrize(
    "n", [n if n in FEW else pytest.param(n, marks=pytest.mark.slow) for n in range(2, 33)]
)
@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_every_probe_equals_clrs(algorithm, n, clrs, clrs_bridge):
    lists = _lists(n)
    traces = jax.device_get(jax.jit(jax.vmap(lambda keys: trace(algorithm, keys)))(lists))
    assert traces.hints["pred_h"].shape[1] == algorithm_spec(algorithm).num_hints(n)
    for row, keys in enumerate(lists):
        output, hints = _probes(clrs, algorithm, keys)
        ours = jax.tree.map(lambda leaf, row=row: leaf[row], traces)
        length = len(hints["pred_h"])
        assert ours.length == length
        assert set(ours.hints) == {*hints, PLACE}
        places = clrs_bridge.places_of_predecessors(hints["pred_h"].astype(int))
        for name, chosen in ours.hints.items():
            if name == PLACE:  # CLRS does not record it, but its predecessors determine it
                np.testing.assert_array_equal(chosen[:length], places, err_msg=name)
                continue
            kind = algorithm_spec(algorithm).hints[name]
            expected = hints[name] if kind == POINTER else hints[name].argmax(-1)
            np.testing.assert_array_equal(chosen[:length], expected, err_msg=name)
            assert (chosen[length:] == chosen[length - 1]).all(), "a finished run holds its state"
        np.testing.assert_array_equal(predecessors(ours.order), output)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_the_last_places_are_the_ranks(algorithm):
    for keys in (jnp.array([0.3, 0.9, 0.1, 0.5, 0.2]), jnp.array([1.0, 0.0, 1.0, 0.0, 0.0])):
        found = trace(algorithm, keys)
        last = found.hints[PLACE][found.length - 1]
        np.testing.assert_array_equal(last, places_of(found.order))
        np.testing.assert_array_equal(last[found.order], np.arange(5))
        np.testing.assert_array_equal(keys[jnp.argsort(last)], jnp.sort(keys))


def test_places_invert_orders():
    orders = jnp.array([[[2, 0, 1], [0, 1, 2]], [[1, 2, 0], [2, 1, 0]]])
    np.testing.assert_array_equal(places_of(orders), jnp.argsort(orders, axis=-1))


def test_quicksort_has_room_for_its_worst_case():
    n = 9
    t = trace("quicksort", jnp.arange(float(n)))
    assert t.length == algorithm_spec("quicksort").num_hints(n)
    np.testing.assert_array_equal(t.order, np.arange(n))


@pytest.mark.parametrize("algorithm", ["quicksort", "heapsort"])
def test_there_is_room_for_every_order(algorithm):
    lists = jnp.array(list(itertools.permutations(range(6))), jnp.float32)
    traces = jax.jit(jax.vmap(lambda keys: trace(algorithm, keys)))(lists)
    np.testing.assert_array_equal(traces.order, jnp.argsort(lists, axis=-1))
    room = algorithm_spec(algorithm).num_hints(6)
    assert traces.hints["pred_h"].shape[1] == room >= traces.length.max() > room - 4


@pytest.mark.usefixtures("clrs")
def test_output_pointers_equal_clrs():
    from clrs._src import probing

    order = jnp.array([2, 0, 3, 1])
    pred, first = output_pointers(order)
    with jax.numpy_rank_promotion("allow"):
        expected = probing.predecessor_to_cyclic_predecessor_and_first(predecessors(order))
    np.testing.assert_array_equal(pred, expected[0])
    np.testing.assert_array_equal(first, expected[1])


def test_unknown_algorithm_is_named():
    with pytest.raises(ValueError, match="'bogosort'.*insertion_sort"):
        trace("bogosort", jnp.zeros(3))
