# SPDX-License-Identifier: Apache-2.0
"""Several steps of training on data that stay on the device."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


class Stepping:
    """A task whose subclass says in `_step(state, data, key)` what one step is."""

    def steps(self, state: Any, data: Any, seed: int, count: int) -> Any:
        """Takes several steps.

        On a CPU they are dispatched one by one, because XLA runs a convolution inside a loop there
        at a fraction of its speed; elsewhere they are a loop.
        """
        key = jax.random.fold_in(jax.random.key(1), seed)
        if jax.default_backend() != "cpu":
            return self._loop(state, data, key, jnp.asarray(count))
        for _ in range(count):
            state = self._one(state, data, key)
        return state

    @functools.cached_property
    def _one(self) -> "jax.stages.Wrapped":
        return jax.jit(self._step)

    @functools.cached_property
    def _loop(self) -> "jax.stages.Wrapped":
        def run(state: Any, data: Any, key: jax.Array, count: jax.Array) -> Any:
            return lax.fori_loop(0, count, lambda _, state: self._step(state, data, key), state)

        return jax.jit(run)

    def _step(self, state: Any, data: Any, key: jax.Array) -> Any:
        raise NotImplementedError
