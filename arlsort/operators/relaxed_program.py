# SPDX-License-Identifier: Apache-2.0
"""A sorting algorithm whose branches and loops are relaxed."""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.networks.swaps import DISTRIBUTIONS, Swap
from arlsort.operators import base
from arlsort.programs import bubble
from arlsort.programs.relaxed import ART_LAMBDA

PROGRAMS = ("bubble_sort",)
"""The algorithms that there are."""


@base.register
@dataclasses.dataclass(frozen=True)
class RelaxedProgram(base.Operator):
    r"""Bubble sort with a soft `if` and a soft `while`, see `arlsort.programs`.

    A pass compares neighbours from the first to the last: with the weight
    `p = F((a - b) / temperature)` the pair `a`, `b` is exchanged. The passes go on while the last
    one has swapped. Of the states `s_k` after k passes the result is

    `sum_k (p_{k-1} - p_k) s_k`, with `p_k` the weight that all passes up to k swapped something.

    P is the unit matrix after the same swaps of its rows. As a mixture of products of swaps it is
    doubly stochastic; it is not equivariant. Values and rows go through the passes without P.

    Attributes:
      program: The algorithm, `bubble_sort`.
      distribution: The name of F, a swap distribution as of `SortingNetwork`.
      temperature: `1 / beta`, in the unit of the scores; > 0.

    Raises:
      ValueError: If a hyperparameter is unknown or out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> print(RelaxedProgram(temperature=0.01).sort(jnp.array([3.0, 1.0, 2.0])).round(1))
      [1. 2. 3.]

    References:
      Petersen et al., Learning with Algorithmic Supervision via Continuous Relaxations,
      NeurIPS 2021.
    """

    program: str = dataclasses.field(default="bubble_sort", metadata=base.STATIC)
    distribution: str = dataclasses.field(default="logistic", metadata=base.STATIC)
    temperature: ArrayLike = 0.1

    doubly_stochastic: ClassVar[bool] = True
    equivariant: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_choice("program", self.program, PROGRAMS)
        checks.check_choice("distribution", self.distribution, tuple(DISTRIBUTIONS))
        checks.check_positive("temperature", self.temperature)

    def _permutation(self, scores: jax.Array) -> jax.Array:
        n = scores.shape[-1]
        return self._run(
            scores, jnp.broadcast_to(jnp.eye(n, dtype=scores.dtype), (*scores.shape, n))
        ).rows

    def _apply(self, scores: jax.Array, rows: jax.Array) -> jax.Array:
        return self._run(scores, rows).rows

    def _sort(self, scores: jax.Array) -> jax.Array:
        return self._run(scores, jnp.zeros_like(scores, shape=(*scores.shape, 0))).values

    def _values(self, scores: jax.Array, weights: jax.Array) -> jax.Array:
        # The product with scores of 1e33 would need weights of 1e-33 to the last digit.
        return self._sort(scores)

    def _run(self, scores: jax.Array, rows: jax.Array) -> bubble.Sorted:
        lists, n, d = math.prod(scores.shape[:-1]), *rows.shape[-2:]
        temperature, art_lambda = (
            jnp.asarray(number, scores.dtype) for number in (self.temperature, ART_LAMBDA)
        )
        swap = Swap(self.distribution, False, temperature, art_lambda)
        one = jax.vmap(lambda x, rows: bubble.run(swap, x, rows))
        result = one(scores.reshape(lists, n), rows.reshape(lists, n, d))
        return jax.tree.map(lambda leaf: leaf.reshape(*scores.shape[:-1], *leaf.shape[1:]), result)
