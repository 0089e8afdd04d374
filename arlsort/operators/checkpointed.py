# SPDX-License-Identifier: Apache-2.0
"""Code shared by operators with a checkpoint: checks, limits, likelihoods."""

import os

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.numerics import meshes, orders
from arlsort.operators import base, hyperparameters


class TooLong(ValueError):
    """Lists are longer than a checkpoint is validated for.

    Attributes:
      length: Of the lists.
      limit: Of the checkpoint.
    """

    length: int
    limit: int


class Checkpointed(base.Operator):
    """A sort that a network has learned.

    Subclasses are dataclasses with the fields below. One with a likelihood defines
    `_log_likelihood`, a function of finite scores `[..., n]`, orders, noise scales or None, and the
    number of items of each list or None.
    """

    temperature: ArrayLike
    normalize: bool
    allow_extrapolation: bool
    noise: str | None
    checkpoint: str | None

    hard_limit = 0.0
    allows_zero_temperature = True
    scale_free = True  # without `normalize` too, beyond the sharpest spread
    gradient_limit = 1e30  # cotangents of that size times a network's slopes, near 1e8
    gradient_rtol = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_number("temperature", self.temperature, "a finite number >= 0", 0.0, jnp.inf)
        for name in ("normalize", "allow_extrapolation"):
            checks.check_flag(name, getattr(self, name))
        if isinstance(self.checkpoint, os.PathLike):
            object.__setattr__(self, "checkpoint", os.fspath(self.checkpoint))
        if not isinstance(self.checkpoint, str | None):
            received = repr(self.checkpoint)
            raise TypeError(checks.error_message("checkpoint", received, "a path or None"))

    def _log_likelihood(
        self,
        scores: jax.Array,
        order: jax.Array,
        noise_scales: jax.Array | None,
        count: jax.Array | None,
    ) -> jax.Array:
        raise NotImplementedError

    def _check_length(self, n: int, limit: int, of: str = "", *, likelihood: bool) -> None:
        """Refuses lists longer than a limit, and names methods without one."""
        if n <= limit or self.allow_extrapolation:
            return
        advice = "take cauchy_log_likelihood, which has no limit"
        if not likelihood:
            others = (c.__name__ for c in base.REGISTERED if not issubclass(c, Checkpointed))
            advice = f"take an operator without a limit: {checks.one_of(others)}"
        allowed = (
            f"at most {limit}, the length to which this checkpoint{of} is validated; pass "
            f"allow_extrapolation=True to try, or {advice}"
        )
        error = TooLong(checks.error_message("x", f"lists of {n} scores", allowed))
        error.length, error.limit = n, limit
        raise error


@meshes.jit_over_lists
def log_likelihood(
    operator: Checkpointed,
    x: jax.Array,
    order: jax.Array,
    noise_scales: jax.Array | None,
    where: jax.Array | None,
) -> jax.Array:
    """Computes the likelihood of checked orders; NaN for values that are not allowed."""
    scores, order, noise_scales, unknown = orders.sanitise(x, order, noise_scales)
    unknown |= ~hyperparameters.valid(operator)
    operator = hyperparameters.in_dtype(operator, scores.dtype)
    count = None
    if where is not None:
        count, scores, order, *more = orders.to_front(where, scores, order, noise_scales)
        noise_scales = more[0] if more else None
    found = operator._log_likelihood(scores, order, noise_scales, count)
    return jnp.where(unknown, jnp.nan, found).astype(x.dtype)
