# SPDX-License-Identifier: Apache-2.0
import itertools

import numpy as np
import pytest

from arlsort.networks import topology
from tests import references


@pytest.mark.parametrize("network", topology.NETWORKS)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 23, 32])
def test_layers_are_those_of_the_textbook(network, n):
    layers = [sorted(map(tuple, layer.tolist())) for layer in topology.layers(network, n)]
    assert layers == [sorted(layer) for layer in references.comparators(network, n)]


@pytest.mark.parametrize("network", topology.NETWORKS)
@pytest.mark.parametrize("n", range(13))
def test_zero_one_principle(network, n):
    # A network that sorts all sequences of zeros and ones sorts everything (Knuth, vol. 3).
    bits = np.array(list(itertools.product([0, 1], repeat=n)))
    for layer in topology.layers(network, n):
        assert len(set(layer.flatten())) == layer.size  # no wire twice in a layer
        for low, high in layer:
            pair = bits[:, [low, high]]
            bits[:, low], bits[:, high] = pair.min(axis=1), pair.max(axis=1)
    assert (np.diff(bits, axis=1) >= 0).all()


def test_merging_has_the_fewest_comparators():
    # Knuth, vol. 3, 5.3.4: 63 comparators for 16 wires, and (p^2 + p) / 2 layers.
    counts = {name: sum(map(len, topology.layers(name, 16))) for name in topology.NETWORKS}
    assert counts == {"odd_even": 120, "bitonic": 80, "odd_even_merge": 63}
    assert len(topology.layers("odd_even_merge", 1024)) == 55


@pytest.mark.parametrize("network", topology.NETWORKS)
def test_a_drawing_shows_every_comparator_once(network):
    n = 7
    lines = topology.draw(network, n).splitlines()
    assert lines[0].split() == [str(wire) for wire in range(n)]
    drawn = [[]]
    for line in lines[1:]:
        starts = [i for i, c in enumerate(line) if c == "├"]
        if not starts:
            drawn.append([])
        for start in starts:
            end = line.index("┤", start)
            pair = (start // 3, end // 3)
            drawn[-1].append(pair if line[end - 1] == "▶" else pair[::-1])
    assert [sorted(layer) for layer in drawn] == [
        sorted(map(tuple, layer.tolist())) for layer in topology.layers(network, n)
    ]


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(ValueError, match="network: received 'bubble', allowed: odd_even, bitonic"):
        topology.draw("bubble", 4)
    with pytest.raises(ValueError, match="n: received 0, allowed: an int >= 1"):
        topology.draw("bitonic", 0)
