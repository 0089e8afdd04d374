# SPDX-License-Identifier: Apache-2.0
"""Gumbel-Sinkhorn: a relaxed sample of the order, by noise on every entry."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.numerics import prefixes, transport
from arlsort.operators import base, matching


@base.register
@dataclasses.dataclass(frozen=True)
class GumbelSinkhorn(base.Operator):
    """A relaxed sample from a distribution over permutations, or the mean of several.

    `P = mean_s S((M + G_s) / temperature)` with `M[i, j] = c[i] z[j]`. z are the standardised
    scores, `c[i] = 2 i - (n - 1)`, and every entry of `G_s` is standard Gumbel noise. S scales the
    exponential of a matrix until rows and columns sum to one. `sum_i M[i, order[i]]` is largest for
    the sorted order; exchanging two neighbours in it loses twice their distance in standard
    deviations. (In the paper a network makes M from the scores. This M sorts them by size.)

    As the temperature falls, a draw becomes the best permutation for `M + G_s`: the noise, not the
    temperature, makes the order uncertain. Newton's method solves S, and gradients are those of the
    solution; the paper does a fixed number of iterations. At temperatures below about 0.03 it may
    stop early: columns then do not sum to one.

    A change of scale and offset of the scores changes nothing in P. Time and memory grow with
    `num_samples`; every row of a batch has its own noise. `Relaxation.converged` says for every
    list whether all draws met the tolerance: `operator(x).converged`.

    Attributes:
      temperature: The paper's τ, in the unit of the noise; > 0.
      num_samples: The number of draws.
      key: A `jax.random` key; needed to call it, and a leaf like the temperature: pass a new one
        with `dataclasses.replace(operator, key=key)`.
      tolerance: How far a column's sum may be from one; 0 asks for what rounding allows.
      max_iterations: The largest number of Newton steps.

    Raises:
      ValueError: If a hyperparameter is out of range, or (when called) if there is no key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> x = jnp.arange(8.0)
      >>> print(GumbelSinkhorn(key=jax.random.key(0)).permutation(x).sum(axis=0).round(3))
      [1. 1. 1. 1. 1. 1. 1. 1.]

    References:
      Mena et al., Learning Latent Permutations with Gumbel-Sinkhorn Networks, ICLR 2018.
    """

    temperature: ArrayLike = 1.0
    num_samples: int = dataclasses.field(default=1, metadata=base.STATIC)
    key: jax.Array | None = None
    tolerance: ArrayLike = 0.0
    max_iterations: int = dataclasses.field(default=100, metadata=base.STATIC)

    doubly_stochastic: ClassVar[bool] = True
    scale_free: ClassVar[bool] = True
    equivariant: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_positive("temperature", self.temperature)
        checks.check_count("num_samples", self.num_samples)
        matching.check_solver(self.tolerance, self.max_iterations)

    @property
    def needs_key(self) -> bool:
        """Whether it draws random numbers: always."""
        return True

    def _permutation(self, scores: jax.Array) -> jax.Array:
        return self._solve(scores)[0]

    def _masked_permutation(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        return self._solve(scores, count)[0]

    def _solve(
        self, scores: jax.Array, count: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        assert self.key is not None  # checked where the operator is called
        n = scores.shape[-1]
        steps = (prefixes.count_of(scores, count) - 1)[..., None, None].astype(scores.dtype)
        noise = jax.random.gumbel(self.key, (self.num_samples, *scores.shape, n), scores.dtype)
        # M but for constants in rows and columns, which change nothing.
        gain = -steps * matching.excess_cost(matching.standardise(scores, count), count)
        if count is not None:
            count = jnp.broadcast_to(count, noise.shape[:-2])
        logits = matching.apart((gain[None] + noise) / self.temperature, count)
        draws, converged = transport.balance(logits, self.tolerance, self.max_iterations)
        return draws.mean(axis=0), converged.all(axis=0)
