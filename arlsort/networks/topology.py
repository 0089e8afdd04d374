# SPDX-License-Identifier: Apache-2.0
"""Which wires a sorting network compares, layer after layer."""

import functools
from typing import NamedTuple

import numpy as np

from arlsort.checks import error_message, one_of

NETWORKS = ("odd_even", "bitonic", "odd_even_merge")


def layers(network: str, n: int) -> list[np.ndarray]:
    """Lists the comparators of a network on n wires.

    Args:
      network: `"odd_even"` (neighbours in turn, n layers), `"bitonic"` or `"odd_even_merge"`
        (both `k (k + 1) / 2` layers with `k = ceil(log2 n)`; the second with fewer comparators).
        For an n that is not a power of two, the network is that of the next one without its first
        (bitonic) or last wires: a comparator that would touch one of these is left out.
      n: The number of wires.

    Returns:
      For each layer an integer array `[comparators, 2]`: the wire that the smaller score goes to,
      and that of the larger.

    Example:
      >>> [layer.tolist() for layer in layers("odd_even_merge", 4)]
      [[[0, 1], [2, 3]], [[0, 2], [1, 3]], [[1, 2]]]

    References:
      Batcher, Sorting Networks and Their Applications, AFIPS 1968; Knuth, The Art of Computer
      Programming, vol. 3, 5.2.2 and 5.3.4.
    """
    if network == "odd_even":
        starts = (np.arange(layer % 2, n - 1, 2) for layer in range(n))
        return [np.stack([first, first + 1], axis=1) for first in starts]
    full = 1 << (n - 1).bit_length() if n else 0
    make = _bitonic if network == "bitonic" else _merging
    found = []
    for stage in range(full.bit_length() - 1):
        for bit in range(stage, -1, -1):
            pairs = make(full, stage, bit)
            if network == "bitonic":
                pairs = pairs - (full - n)
            found.append(pairs[(pairs >= 0).all(axis=1) & (pairs < n).all(axis=1)])
    return found


def _bitonic(full: int, stage: int, bit: int) -> np.ndarray:
    """Blocks of `2 ** (stage + 1)` wires are sorted in turn up and down."""
    wires = np.arange(full)
    first = wires[wires & (1 << bit) == 0]
    pairs = np.stack([first, first + (1 << bit)], axis=1)
    falling = first & (2 << stage) != 0
    pairs[falling] = pairs[falling, ::-1]
    return pairs


def _merging(full: int, stage: int, bit: int) -> np.ndarray:
    """Two sorted halves of `2 ** stage` wires meet; then odd positions meet the next even ones."""
    wires, gap, block = np.arange(full), 1 << bit, 2 << stage
    if bit == stage:
        first = wires[wires & gap == 0]
    else:
        first = wires[(wires & gap != 0) & (wires % block + gap < block)]
    return np.stack([first, first + gap], axis=1)


class Schedule(NamedTuple):
    """A network by powers of two as stages of equal steps on two halves of its wires.

    A stage sorts blocks of `2 ** (stage + 1)` wires, of which it has `2 ** (bits - 1 - stage)`. Its
    steps compare wires whose index differs in one bit, from bit `stage` down to 0, or, `across`,
    wires that are one such gap apart on either side of a multiple of two gaps. The wires rotate:
    their index is the bits `(bit, low, block, high)`, the compared one first, then those below it,
    those that tell the block, and those between. After a step the next lower bit comes first.

    Attributes:
      signs: For each stage `[stage + 1, wires / 2]`: 1 where the smaller score goes to the first
        wire of a pair, -1 where the larger does, 0 where there is no comparator.
      across: Whether all steps of a stage but its first compare across.
      absent: How many wires were put before the n of the network.
      wires: How many there are with those, and with those put after.
      ends: For each stage the two wires of each comparator, `[stage + 1, 2, wires / 2]`; zero where
        there is none.
    """

    signs: tuple[np.ndarray, ...]
    across: bool
    absent: int
    wires: int
    ends: tuple[np.ndarray, ...]


@functools.cache
def schedule(network: str, n: int) -> Schedule:
    """Arranges the layers of a network by powers of two, n >= 2, as equal steps."""
    bits = (n - 1).bit_length()
    wires = 1 << bits
    absent = wires - n if network == "bitonic" else 0
    listed = iter(layers(network, n))
    signs, ends = [], []
    for stage in range(bits):
        rows = np.zeros((stage + 1, wires // 2), np.int8)
        both = np.zeros((stage + 1, 2, wires // 2), np.int32)
        for row, bit in enumerate(range(stage, -1, -1)):
            pairs = next(listed)
            first = pairs.min(axis=1) + absent
            low, high = first % (1 << bit), (first >> (bit + 1)) % (1 << (stage - bit))
            place = (low << (bits - 1 - stage) | first >> (stage + 1)) << (stage - bit) | high
            rows[row, place] = np.where(pairs[:, 0] < pairs[:, 1], 1, -1)
            both[row, 0, place], both[row, 1, place] = first, pairs.max(axis=1) + absent
        signs.append(rows)
        ends.append(both)
    return Schedule(tuple(signs), network == "odd_even_merge", absent, wires, tuple(ends))


def draw(network: str, n: int) -> str:
    """Draws a network as text: wires run down, a line between two of them is a comparator.

    The arrow points to the wire that the larger score goes to.

    Args:
      network: One of `NETWORKS`.
      n: The number of wires, at least 1.

    Returns:
      Lines of text; comparators of a layer that would cross each other stand below each other, and
      layers are set apart by a line of wires.

    Raises:
      TypeError: If n is not an integer.
      ValueError: If the network is unknown or n is not at least 1.

    Example:
      >>> print(draw("odd_even_merge", 4))
      0  1  2  3
      ├─▶┤  ├─▶┤
      │  │  │  │
      ├────▶┤  │
      │  ├────▶┤
      │  │  │  │
      │  ├─▶┤  │
    """
    if network not in NETWORKS:
        raise ValueError(error_message("network", repr(network), one_of(NETWORKS)))
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(error_message("n", repr(n), "an int >= 1"))
    if n < 1:
        raise ValueError(error_message("n", repr(n), "an int >= 1"))
    width = max(3, len(str(n - 1)) + 2)
    lines = ["".join(str(wire).ljust(width) for wire in range(n)).rstrip()]
    for index, layer in enumerate(layers(network, n)):
        if index:
            lines.append(_row(n, width, []))
        rows: list[list[tuple[int, int]]] = []
        for small, large in sorted(layer.tolist(), key=min):
            low, high = min(small, large), max(small, large)
            fits = (row for row in rows if all(max(pair) < low or min(pair) > high for pair in row))
            place = next(fits, None)
            if place is None:
                rows.append([(small, large)])
            else:
                place.append((small, large))
        lines += [_row(n, width, row) for row in rows]
    return "\n".join(lines)


def _row(n: int, width: int, pairs: list[tuple[int, int]]) -> str:
    cells = list(("│" + " " * (width - 1)) * n)
    for small, large in pairs:
        low, high = min(small, large) * width, max(small, large) * width
        cells[low + 1 : high] = "─" * (high - low - 1)
        cells[low], cells[high] = "├", "┤"
        if small < large:
            cells[high - 1] = "▶"
        else:
            cells[low + 1] = "◀"
    return "".join(cells).rstrip()
