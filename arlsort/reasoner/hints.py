# SPDX-License-Identifier: Apache-2.0
"""Comparisons, first hints, and training targets: the trace averaged over perturbed copies.

A reasoner trained to be right is a step function and teaches nothing. The target here is the
*mean* trace under noise, E[trace(x + z)] with z of unit scale and independent for every key: a
smooth function of x whose sharpness is the scale of x. Its mean over finitely many copies is an
unbiased soft target for the cross-entropies.

Reference: Berthet et al., *Learning with Differentiable Perturbed Optimizers*, NeurIPS 2020 (the
perturbation); Veličković et al., ICML 2022 (the traces).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from arlsort.numerics import noise as laws
from arlsort.numerics.mean_permutation import mean_permutation
from arlsort.reasoner.config import PLACE, TrainingConfig, algorithm_spec
from arlsort.reasoner.traces import Trace, parents, predecessors, trace

Array = jax.Array


class Batch(NamedTuple):
    """One batch of lists with soft or hard targets.

    Attributes:
      keys: `[b, n]` the scores the network sees.
      noise_scales: `[b, n]` their noise scales, if the network has such an input.
      pos: `[b, n]` increasing positions in [0, 1).
      hints: Weights over the choices of each hint: a POINTER `[T, b, n, n]`, each element's over
        its targets; a MASK_ONE `[T, b, n]`; a CATEGORICAL `[T, b, states]`.
      pred: `[b, n, n]` output pointers, cyclic: the first element points to the last.
      pred_mask: `[b, n]` output mask of the first element.
      places: `[b, n, n]` weights of each element over the places where it ends.
      lengths: `[b]` number of recorded states.
    """

    keys: Array
    pos: Array
    hints: dict[str, Array]
    pred: Array
    pred_mask: Array
    places: Array
    lengths: Array
    noise_scales: Array | None = None


def comparisons(keys: Array, noise: str | None) -> Array:
    """How every two keys compare, `[b, n, n]`; entry `[j, k]` is 1 where k is the larger one.

    It is -1 where k is the smaller one, 0 of equal keys; under noise the mean of that.
    """
    difference = keys[:, None, :] - keys[:, :, None]
    if noise is None:
        return jnp.sign(difference)
    return 2 * laws.probability_not_larger(difference, noise).astype(keys.dtype) - 1


def initial_hints(algorithm: str, keys: Array, noise: str | None) -> dict[str, Array]:
    """The hints before the first step, exactly, as weights `[b, ..., choices]`.

    Only quicksort's depend on the keys. CLRS's records its first state after its first comparison
    (first key against pivot), so its mark `i` is on the second element with the probability that
    the first key is not larger; with `noise=None` the comparison is exact.
    """
    spec = algorithm_spec(algorithm)
    b, n = keys.shape
    places = jnp.arange(n)

    def weights(hint: str, choice: Array | int) -> Array:
        one_hot = jax.nn.one_hot(choice, spec.choices(hint, n), dtype=keys.dtype)
        return jnp.broadcast_to(one_hot, (b, *one_hot.shape))

    last = max(n - 1, 0)
    first: dict[str, Array | int] = {"pred_h": predecessors(places), PLACE: places}
    if algorithm == "quicksort":
        first |= {"p": 0, "r": last, "i": 0, "j": 0}
    elif algorithm == "heapsort":
        first |= {"parent": parents(places, n), **dict.fromkeys(spec.masks, last), "phase": 0}
    else:
        first |= dict.fromkeys(spec.masks, 0)
    hints = {name: weights(name, choice) for name, choice in first.items()}
    if algorithm == "quicksort" and n > 1:
        difference = keys[:, -1] - keys[:, 0]
        if noise is None:
            passes = (difference >= 0).astype(keys.dtype)
        else:
            passes = laws.probability_not_larger(difference, noise).astype(keys.dtype)
        passes = passes[:, None]
        hints["i"] = (1 - passes) * weights("i", 0) + passes * weights("i", 1)
    return hints


def output_pointers(order: Array) -> tuple[Array, Array]:
    """Cyclic predecessor matrix `[n, n]` and first-element mask `[n]` of an order `[n]`.

    As `clrs.process_permutations` makes them: row j marks the predecessor of j, and the first
    element's predecessor is the last.
    """
    n = order.shape[0]
    rows = jax.nn.one_hot(order, n)  # [place, element]
    return rows.T @ jnp.roll(rows, 1, axis=0), rows[0]


def mean_trace(algorithm: str, copies: Array) -> tuple[dict[str, Array], Array, Array]:
    """Runs the sort on every row of `copies` `[c, n]` and averages the traces.

    Returns:
      The hints `[T, ..., choices]`, `pred` `[n, n]` and `pred_mask` `[n]`.
    """
    spec, n = algorithm_spec(algorithm), copies.shape[-1]

    def weights(keys: Array) -> tuple:
        t: Trace = trace(algorithm, keys)
        hints = {
            name: jax.nn.one_hot(choice, spec.choices(name, n)) for name, choice in t.hints.items()
        }
        return (hints, *output_pointers(t.order))

    def add(total: tuple, keys: Array) -> tuple[tuple, None]:
        return jax.tree.map(jnp.add, total, weights(keys)), None

    start = jax.tree.map(jnp.zeros_like, jax.eval_shape(weights, copies[0]))
    total, _ = jax.lax.scan(add, start, copies)
    return jax.tree.map(lambda sum_: sum_ / copies.shape[0], total)


def sample_positions(key: Array, batch_size: int, n: int) -> Array:
    """Positions `[b, n]`: half the lists get `i / n`, half sorted uniform draws.

    CLRS's `process_random_pos` draws them for every list. The evenly spaced half is like the lists
    of a network in use.
    """
    draw, choose = jax.random.split(key)
    drawn = jnp.sort(jax.random.uniform(draw, (batch_size, n)), axis=-1)
    even = jnp.broadcast_to(jnp.arange(n) / n, (batch_size, n))
    return jnp.where(jax.random.bernoulli(choose, 0.5, (batch_size, 1)), drawn, even)


def sample_scores(
    key: Array, batch_size: int, n: int, low: float, high: float, ties: bool = True
) -> Array:
    """Centred lists of scores `[b, n]` with log-uniform spreads.

    Scores are uniform or normal. With `ties` a third of the lists holds two to five grades
    instead, so many of their scores are equal.
    """
    k_spread, k_uniform, k_normal, k_law, k_grades = jax.random.split(key, 5)
    log_spread = jax.random.uniform(
        k_spread, (batch_size, 1), minval=jnp.log(low), maxval=jnp.log(high)
    )
    uniform = jax.random.uniform(k_uniform, (batch_size, n))
    normal = jax.random.normal(k_normal, (batch_size, n)) / 4  # a normal spreads over about 4 sd
    grades = jax.random.randint(k_grades, (batch_size, 1), 2, 6)
    tied = jnp.floor(uniform * grades) / (grades - 1)
    law = jax.random.randint(k_law, (batch_size, 1), 0, 3 if ties else 2)
    unit = jnp.where(law == 0, uniform, jnp.where(law == 1, normal, tied))
    scores = unit * jnp.exp(log_spread)
    return scores - jnp.mean(scores, axis=-1, keepdims=True)


def sample_noise_scales(key: Array, batch_size: int, n: int, spread: float) -> Array:
    """Noise scales `[b, n]` of geometric mean 1, their logarithms normal.

    Half the lists have a standard deviation uniform up to `spread`, half the same scale for all.
    """
    k_scale, k_spread, k_equal = jax.random.split(key, 3)
    log_noise_scale = jax.random.normal(k_scale, (batch_size, n))
    log_noise_scale *= jax.random.uniform(k_spread, (batch_size, 1), maxval=spread)
    log_noise_scale *= jax.random.bernoulli(k_equal, 0.5, (batch_size, 1))
    return jnp.exp(log_noise_scale - jnp.mean(log_noise_scale, axis=-1, keepdims=True))


def sample_batch(key: Array, algorithm: str, n: int, config: TrainingConfig) -> Batch:
    """Draws one batch of lists of length `n` with the targets of its perturbed copies."""
    lists = config.lists(n)
    k_scores, k_pos, k_noise = jax.random.split(key, 3)
    ties = config.hints == "perturbed"
    scores = sample_scores(k_scores, lists, n, config.min_spread, config.max_spread, ties)
    copies = 1 if config.hints == "sampled" else config.copies
    noise = laws.sample(k_noise, config.noise, (lists, copies, n))
    noise_scales = None
    if config.noise_scale_spread:
        noise_scales = sample_noise_scales(
            jax.random.fold_in(key, 3), lists, n, config.noise_scale_spread
        )
        noise *= noise_scales[:, None]
    hints, pred, pred_mask = jax.vmap(lambda copies: mean_trace(algorithm, copies))(
        scores[:, None, :] + noise
    )
    num_hints = algorithm_spec(algorithm).num_hints(n)
    if config.hints == "perturbed":  # the mean is known, which has less noise than that of copies
        exact = jnp.swapaxes(mean_permutation(scores, config.noise), -1, -2)
        hints[PLACE] = hints[PLACE].at[:, -1].set(exact)
    return Batch(
        keys=scores,
        pos=sample_positions(k_pos, lists, n),
        hints={name: jnp.swapaxes(hint, 0, 1) for name, hint in hints.items()},
        places=hints[PLACE][:, -1],
        pred=pred,
        pred_mask=pred_mask,
        lengths=jnp.full(lists, num_hints),
        noise_scales=noise_scales,
    )
