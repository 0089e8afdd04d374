# SPDX-License-Identifier: Apache-2.0
"""Perturbed optimisers: the mean of any operator over noisy copies of the scores."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.numerics import noise as laws
from arlsort.numerics import prefixes
from arlsort.operators import base
from arlsort.operators.hard import Hard
from arlsort.soft_permutation import to_ranks


@base.register
@dataclasses.dataclass(frozen=True)
class Perturbed(base.Operator):
    """The mean of an operator's permutation over noisy copies of the scores.

    `P = mean_s Q(x + temperature * z_s)`, with Q the permutation of `operator` and `num_samples`
    draws of noise z, independent for every score of every row. The expectation is smooth in x also
    where Q is a step function. With Gumbel noise around the exact sort it is the mean order of the
    Plackett-Luce distribution with log-weights `x / temperature`.

    Gradients are those of the expectation. With `hard=True` in the inner operator, as in `Hard()`,
    Q has none. The estimator of the paper is then used, with Q(x) as control variate:

    `dP/dx = mean_s (Q(x + temperature * z_s) - Q(x)) ∇ν(z_s)ᵀ / temperature`

    where `exp(-ν)` is the density of the noise; likewise for the temperature. Its variance falls
    as `1 / num_samples`. (`sort(x) = P @ x` takes its gradient through P, although the mean of
    sorted *values* has one everywhere.) With any other operator the noise is a constant and the
    gradient passes through Q.

    An operator without a permutation has its values and ranks averaged:
    `sort(x) = mean_s sort(x + temperature * z_s)`. The result then has no permutation either.

    Time and memory grow with `num_samples`. Every row of a batch has its own noise.

    Attributes:
      operator: What is averaged.
      noise: "gumbel" (centred: the standard Gumbel variable less its mean, Euler's constant),
        "gaussian" (standard normal), "logistic" or "cauchy" (both of scale one).
      key: A `jax.random` key; needed to call it, and a leaf like the temperature: pass a new one
        with `dataclasses.replace(operator, key=key)`.
      num_samples: The number of draws.
      temperature: The paper's ε, the scale of the noise in the unit of the scores; > 0.

    Raises:
      TypeError: If `operator` is not an operator.
      ValueError: If a hyperparameter is out of range, or (when called) if there is no key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> operator = Perturbed(key=jax.random.key(0), temperature=0.1)
      >>> print(operator.sort(jnp.array([3.0, 1.0, 2.0])).round(1))
      [1. 2. 3.]

    References:
      Berthet et al., Learning with Differentiable Perturbed Optimizers, NeurIPS 2020.
    """

    operator: base.Operator = dataclasses.field(default_factory=Hard)
    noise: str = dataclasses.field(default="gumbel", metadata=base.STATIC)
    key: jax.Array | None = None
    num_samples: int = dataclasses.field(default=100, metadata=base.STATIC)
    temperature: ArrayLike = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.operator, base.Operator):
            raise TypeError(
                checks.error_message("operator", repr(self.operator), "an operator object")
            )
        checks.check_choice("noise", self.noise, tuple(laws.LAWS))
        checks.check_count("num_samples", self.num_samples)
        checks.check_positive("temperature", self.temperature)

    @property
    def needs_key(self) -> bool:
        """Whether it draws random numbers: always."""
        return True

    @property
    def has_permutation(self) -> bool:  # type: ignore[override]
        """Whether the operator inside has."""
        return self.operator.has_permutation

    @property
    def doubly_stochastic(self) -> bool:  # type: ignore[override]
        """Whether the operator inside is."""
        return self.operator.hard or self.operator.doubly_stochastic

    # One draw of noise is for one column: permuted scores meet other noise.
    equivariant = False

    def _permutation(self, scores: jax.Array) -> jax.Array:
        return self._solve(scores)[0]

    def _solve(self, scores: jax.Array) -> tuple[jax.Array, jax.Array]:
        if self.operator.hard:
            return self._mean(scores, Hard().permutation), jnp.ones(scores.shape[:-1], bool)
        draws = self.operator(self._perturb(scores))
        return draws.permutation.mean(axis=0), draws.converged.all(axis=0)

    def _apply(self, scores: jax.Array, rows: jax.Array) -> jax.Array:
        def apply(scores: jax.Array) -> jax.Array:
            # The same rows for every draw.
            return self._inner.sort_by(
                scores, jnp.broadcast_to(rows, (*scores.shape, rows.shape[-1]))
            )

        return self._mean(scores, apply)

    def _sort(self, scores: jax.Array) -> jax.Array:
        if self.has_permutation:
            return self._apply(scores, scores[..., None])[..., 0]
        return self._inner.sort(self._perturb(scores)).mean(axis=0)

    def _rank(self, scores: jax.Array) -> jax.Array:
        if self.has_permutation and not self.doubly_stochastic:
            return to_ranks(self._permutation(scores))
        return self._mean(scores, self._inner.rank)

    def _masked_permutation(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        return self._mean(scores, self._inner.permutation, count)

    def _masked_apply(self, scores: jax.Array, count: jax.Array, rows: jax.Array) -> jax.Array:
        def apply(scores: jax.Array, *, where: jax.Array) -> jax.Array:
            items = jnp.broadcast_to(rows, (*scores.shape, rows.shape[-1]))
            return self._inner.sort_by(scores, items, where=where)

        return self._mean(scores, apply, count)

    def _masked_sort(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        if self.has_permutation:
            return self._masked_apply(scores, count, scores[..., None])[..., 0]
        return self._mean(scores, self._inner.sort, count)

    def _masked_rank(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        if self.has_permutation and not self.doubly_stochastic:
            return super()._masked_rank(scores, count)
        return self._mean(scores, self._inner.rank, count)

    def _mask(self, scores: jax.Array, k: int, count: jax.Array | None = None) -> jax.Array:
        return self._mean(scores, functools.partial(self._inner.top_k_mask, k=k), count)

    def _top(self, scores: jax.Array, k: int, count: jax.Array | None = None) -> jax.Array:
        def top(scores: jax.Array, **mask: jax.Array) -> jax.Array:
            return self._inner.top_k(scores, k, **mask)[1]

        return self._mean(scores, top, count)

    @property
    def _inner(self) -> base.Operator:
        """The averaged operator; the forward one of a straight-through operator."""
        return Hard() if self.operator.hard else self.operator

    def _mean(
        self,
        scores: jax.Array,
        function: Callable[..., jax.Array],
        count: jax.Array | None = None,
    ) -> jax.Array:
        """Averages `function` of perturbed scores, with the gradient of its expectation.

        With a count `[...]` the items stand first, and the function gets their mask.
        """
        if count is not None:
            take, items = function, prefixes.within(count, scores.shape)

            def function(scores: jax.Array) -> jax.Array:
                return take(scores, where=jnp.broadcast_to(items, scores.shape))

        if not self.operator.hard:
            return function(self._perturb(scores)).mean(axis=0)
        samples = function(lax.stop_gradient(self._perturb(scores)))  # [samples, ...]
        control = function(lax.stop_gradient(scores))
        log_density = self._log_density(scores, count)  # [samples, ...], without the last axis
        # Zero; its derivatives are those of the density over itself, to every order.
        change = jnp.expm1(log_density - lax.stop_gradient(log_density))
        change = change.reshape(change.shape + (1,) * (samples.ndim - change.ndim))
        return (samples + (samples - control[None]) * change).mean(axis=0)

    def _draw(self, scores: jax.Array) -> jax.Array:
        assert self.key is not None  # checked where the operator is called
        shape = (self.num_samples, *scores.shape)
        law = laws.LAWS[self.noise]
        return law.sample(self.key, shape, scores.dtype) - law.mean

    def _perturb(self, scores: jax.Array) -> jax.Array:
        return scores[None] + self.temperature * self._draw(scores)

    def _log_density(self, scores: jax.Array, count: jax.Array | None) -> jax.Array:
        """Log-density of fixed perturbed scores as a function of scores and temperature."""
        temperature = lax.stop_gradient(self.temperature)
        # From the noise, not from the perturbed scores: those may have rounded it away.
        moved = (lax.stop_gradient(scores) - scores) / self.temperature  # zero
        z = self._draw(scores) * (temperature / self.temperature) + moved[None]
        law = laws.LAWS[self.noise]
        density = law.log_density(z + law.mean) - jnp.log(self.temperature)
        if count is not None:
            density = prefixes.keep(density, jnp.broadcast_to(count, density.shape[:-1]))
        return density.sum(axis=-1)
