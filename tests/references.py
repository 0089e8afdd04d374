# SPDX-License-Identifier: Apache-2.0
"""Slow, independent NumPy oracles: one function for each hand-made operator.

Each takes one row of scores and the operator's hyperparameters and returns the soft permutation,
written with loops straight from the paper's definition. They share no code with the package.
"""

import math
from collections.abc import Callable

import numpy as np


def hard(x: np.ndarray) -> np.ndarray:
    """One-hot rows by counting who is smaller, ties by index."""
    n = len(x)
    weights = np.zeros((n, n))
    for j in range(n):
        position = sum(x[k] < x[j] or (x[k] == x[j] and k < j) for k in range(n))
        weights[position, j] = 1.0
    return weights


def softsort(x: np.ndarray, temperature: float = 1.0, power: int = 1) -> np.ndarray:
    """Prillo and Eisenschlos, ICML 2020, equation 1, in descending order, then turned over."""
    n = len(x)
    weights = np.zeros((n, n))
    for i, value in enumerate(sorted(x, reverse=True)):
        row = [math.exp(-(abs(value - x[j]) ** power) / temperature) for j in range(n)]
        weights[i] = np.array(row) / sum(row)
    return weights[::-1]


def neuralsort(x: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Grover et al., ICLR 2019, equation 5, in descending order from 1, then turned over."""
    n = len(x)
    weights = np.zeros((n, n))
    distance = [sum(abs(x[j] - x[k]) for k in range(n)) for j in range(n)]
    for i in range(1, n + 1):
        logits = [((n + 1 - 2 * i) * x[j] - distance[j]) / temperature for j in range(n)]
        row = [math.exp(z - max(logits)) for z in logits]
        weights[i - 1] = np.array(row) / sum(row)
    return weights[::-1]


def laplace_distribution(u: float) -> float:
    return 0.5 * math.exp(u) if u <= 0 else 1 - 0.5 * math.exp(-u)


def lapsum(x: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Struski et al., ICML 2025, section 3: thresholds by bisection, then differences."""
    n = len(x)
    edges = [-math.inf]
    for k in range(1, n):
        low, high = min(x) - 800 * temperature, max(x) + 800 * temperature
        for _ in range(200):
            middle = 0.5 * (low + high)
            below = sum(laplace_distribution((middle - x[j]) / temperature) for j in range(n)) < k
            low, high = (middle, high) if below else (low, middle)
        edges.append(high)
    edges.append(math.inf)
    mass = np.array([[laplace_distribution((b - v) / temperature) for v in x] for b in edges])
    return mass[1:] - mass[:-1]


def comparators(network: str, n: int) -> list[list[tuple[int, int]]]:
    """Layers of comparators (wire of the smaller output, wire of the larger output)."""
    if network == "odd_even":
        return [[(i, i + 1) for i in range(layer % 2, n - 1, 2)] for layer in range(n)]
    full = 1
    while full < n:
        full *= 2
    if network == "odd_even_merge":
        layers = [
            [pair for start in range(0, full, 2 * m) for pair in merging_layer(start, 2 * m, gap)]
            for m in (2**k for k in range(full.bit_length() - 1))
            for gap in (2**k for k in reversed(range(m.bit_length())))
        ]
        return [[(a, b) for a, b in layer if b < n] for layer in layers]
    layers = []
    size = 2
    while size <= full:
        gap = size // 2
        while gap:
            layer = []
            for i in range(full):
                j = i ^ gap
                if i < j and i >= full - n:  # the first wires of the full network are absent
                    a, b = i - (full - n), j - (full - n)
                    layer.append((a, b) if not i & size else (b, a))
            layers.append(layer)
            gap //= 2
        size *= 2
    return layers


def merging_layer(start: int, length: int, gap: int) -> list[tuple[int, int]]:
    """Batcher's merge of two sorted halves: what even and odd places do is done at twice the gap.

    Knuth, vol. 3, 5.2.2, algorithm M: merge the even places and the odd places of both halves, and
    then compare each odd place with the even place after it.
    """

    def merge(places: list[int]) -> list[list[tuple[int, int]]]:
        if len(places) == 2:
            return [[(places[0], places[1])]]
        even, odd = merge(places[::2]), merge(places[1::2])
        last = list(zip(places[1:-1:2], places[2::2], strict=True))
        return [a + b for a, b in zip(even, odd, strict=True)] + [last]

    layers = merge(list(range(start, start + length)))
    return sorted(layers[(length // 2 // gap).bit_length() - 1])


def swap_weight(
    distribution: str, difference: float, temperature: float, art_lambda: float
) -> float:
    """The weight of leaving a pair as it is."""
    v = difference / temperature
    if distribution == "logistic":
        return 1 / (1 + math.exp(-v))
    if distribution == "logistic_art":
        return 1 / (1 + math.exp(-v / (abs(difference) + 1e-10) ** art_lambda))
    if distribution == "gaussian":
        return 0.5 * (1 + math.erf(v / math.sqrt(2)))
    if distribution == "reciprocal":
        return 0.5 * (v / (2 + abs(v)) + 1)
    if distribution == "cauchy":
        return math.atan(v) / math.pi + 0.5
    if distribution == "optimal":
        if abs(v) <= 0.25:
            return v + 0.5
        return 1 - 1 / (16 * v) if v > 0 else -1 / (16 * v)
    raise AssertionError(distribution)


def sorting_network(
    x: np.ndarray,
    network: str,
    distribution: str = "cauchy",
    temperature: float = 0.1,
    art_lambda: float = 0.25,
) -> np.ndarray:
    """Petersen et al., ICML 2021 and ICLR 2022, one comparator after the other."""
    x = np.array(x, np.float64)
    weights = np.eye(len(x))
    for layer in comparators(network, len(x)):
        for low, high in layer:
            keep = swap_weight(distribution, x[high] - x[low], temperature, art_lambda)
            mix = np.array([[keep, 1 - keep], [1 - keep, keep]])
            x[[low, high]] = mix @ x[[low, high]]
            weights[[low, high]] = mix @ weights[[low, high]]
    return weights


def odd_even(x: np.ndarray, **hyperparameters: float) -> np.ndarray:
    return sorting_network(x, "odd_even", **hyperparameters)


def bitonic(x: np.ndarray, **hyperparameters: float) -> np.ndarray:
    return sorting_network(x, "bitonic", **hyperparameters)


def odd_even_merge(x: np.ndarray, **hyperparameters: float) -> np.ndarray:
    return sorting_network(x, "odd_even_merge", **hyperparameters)


def bubble_sort(
    x: np.ndarray, distribution: str = "logistic", temperature: float = 0.1
) -> np.ndarray:
    """Petersen et al., NeurIPS 2021: a relaxed while around relaxed swaps of neighbours.

    What the loop leaves is the sum of the states after each pass, each with the weight that the
    loop ends there: the passes before it have swapped something, and the next one is not begun.
    """
    n = len(x)
    x, weights = np.array(x, np.float64), np.eye(n)
    result, going = np.zeros((n, n)), 1.0
    for k in range(n):
        swapped = 0.0
        for i in range(n - 1 - k):
            keep = swap_weight(distribution, x[i + 1] - x[i], temperature, 0.25)
            mix = np.array([[keep, 1 - keep], [1 - keep, keep]])
            x[[i, i + 1]] = mix @ x[[i, i + 1]]
            weights[[i, i + 1]] = mix @ weights[[i, i + 1]]
            swapped = (1 - keep) + keep * swapped
        result += going * (1 - swapped) * weights
        going *= swapped
    return result + going * weights


def balanced(kernel: np.ndarray) -> np.ndarray:
    """Sinkhorn's algorithm: rows and columns are scaled in turn until nothing changes."""
    rows, columns = np.ones(len(kernel)), np.ones(len(kernel))
    for _ in range(100_000):
        before = rows
        rows = 1 / (kernel @ columns)
        columns = 1 / (kernel.T @ rows)
        if np.abs(rows / before - 1).max() < 1e-15:
            break
    return rows[:, None] * kernel * columns


def sinkhorn(x: np.ndarray, temperature: float = 0.01) -> np.ndarray:
    """Cuturi et al., NeurIPS 2019: squashed scores against a grid, squared distances."""
    n = len(x)
    points = [1 / (1 + math.exp(-(value - np.mean(x)) / np.std(x))) for value in x]
    kernel = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            kernel[i, j] = math.exp(-((i / (n - 1) - points[j]) ** 2) / temperature)
    return balanced(kernel)


ORACLES: dict[str, Callable[..., np.ndarray]] = {
    "hard": hard,
    "odd_even": odd_even,
    "bitonic": bitonic,
    "odd_even_merge": odd_even_merge,
    "bubble_sort": bubble_sort,
    "neuralsort": neuralsort,
    "softsort": softsort,
    "lapsum": lapsum,
    "sinkhorn": sinkhorn,
}


def gumbel_sinkhorn(x: np.ndarray, noise: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Mena et al., ICLR 2018, under given noise `[samples, n, n]`."""
    n = len(x)
    standard = (x - np.mean(x)) / np.std(x)
    gain = np.array([[(2 * i - (n - 1)) * standard[j] for j in range(n)] for i in range(n)])
    return np.mean([balanced(np.exp((gain + g) / temperature)) for g in noise], axis=0)


def perturbed(x: np.ndarray, noise: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Berthet et al., NeurIPS 2020: the mean exact order under given noise `[samples, n]`."""
    return np.mean([hard(x + temperature * z) for z in noise], axis=0)


# Methods that always draw: one row of scores and what was drawn for it to the permutation.
RANDOM_ORACLES: dict[str, Callable[..., np.ndarray]] = {
    "perturbed": perturbed,
    "gumbel_sinkhorn": gumbel_sinkhorn,
}


def pooled(s: np.ndarray, w: np.ndarray, value: Callable[..., float]) -> np.ndarray:
    """Best et al., 2000: pool adjacent violators of a nonincreasing order, one after the other."""
    blocks: list[list[int]] = []
    for k in range(len(s)):
        blocks.append([k])
        while len(blocks) > 1 and value(s[blocks[-2]], w[blocks[-2]]) <= value(
            s[blocks[-1]], w[blocks[-1]]
        ):
            last = blocks.pop()
            blocks[-1] += last
    solution = np.zeros(len(s))
    for block in blocks:
        solution[block] = value(s[block], w[block])
    return solution


def project(z: np.ndarray, w: np.ndarray, regularization: str) -> np.ndarray:
    """Blondel et al., ICML 2020, proposition 3: onto the permutahedron of w, in z's own order."""

    def mean(s: np.ndarray, w: np.ndarray) -> float:
        return np.mean(s) - np.mean(w)

    def log_mean(s: np.ndarray, w: np.ndarray) -> float:
        top_s, top_w = max(s), max(w)
        ratio = sum(np.exp(s - top_s)) / sum(np.exp(w - top_w))
        return top_s - top_w + math.log(ratio)

    order = sorted(range(len(z)), key=lambda i: -z[i])
    dual = pooled(z[order], np.sort(w)[::-1], mean if regularization == "l2" else log_mean)
    result = np.zeros(len(z))
    result[order] = z[order] - dual
    return result


def permutahedron(
    x: np.ndarray, temperature: float = 1.0, regularization: str = "l2"
) -> tuple[np.ndarray, np.ndarray]:
    """The same, section 4, with rho = (n, ..., 1); ranks are theirs of -x, and start from 0."""
    rho = np.arange(len(x), 0, -1.0)
    values = project(rho / temperature, x, regularization)[::-1]
    if regularization == "l2":
        return values, project(x / temperature, rho, regularization) - 1
    return values, np.exp(project(x / temperature, np.log(rho), regularization)) - 1


# Methods without a permutation: one row of scores to (values, ranks).
VALUE_ORACLES: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "permutahedron": permutahedron,
}

# Learned sorts have no closed form: tests/reasoner has CLRS's own model as oracle, and
# tests/operators/test_amortized.py the mean permutation.
WITHOUT_ORACLE = {"amortized", "learned"}
