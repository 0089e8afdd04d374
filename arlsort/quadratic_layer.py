# SPDX-License-Identifier: Apache-2.0
"""Layers that learn a quadratic program and return its solution."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from arlsort import checks
from arlsort.numerics.quadratic_programs import times
from arlsort.quadratic import Solution, solve


class LayerParameters(NamedTuple):
    """The parameters of a quadratic layer; a pytree.

    Attributes:
      root: L of `Q = LLᵀ + ε I`, `[n, n]`; only its lower triangle counts.
      rows: G, `[m, n]`.
      room: `[m]`; its softplus is the slack of each inequality at `inside`.
      equalities: A, `[e, n]`.
      inside: A point `[n]` that meets all constraints for any other parameters.
    """

    root: jax.Array
    rows: jax.Array
    room: jax.Array
    equalities: jax.Array
    inside: jax.Array


def init_layer(key: jax.Array, n: int, inequalities: int, equalities: int = 0) -> LayerParameters:
    """Draws the parameters of a quadratic layer.

    L is the identity and a uniform triangle in ±1/√n, rows of G and A are uniform in ±1/√n, the
    point inside is zero, and each slack there is one.

    Args:
      key: Of `jax.random`.
      n: Variables.
      inequalities: How many, m; may be zero.
      equalities: How many, e; may be zero, and must be less than n.

    Returns:
      The parameters, float32.

    Raises:
      TypeError: If a number is no int.
      ValueError: If a number is not allowed.

    Example:
      >>> import jax
      >>> parameters = init_layer(jax.random.key(0), n=3, inequalities=4)
      >>> print(parameters.rows.shape)
      (4, 3)
    """
    checks.check_key("init_layer", key)
    checks.check_count("n", n)
    for argument, count in (("inequalities", inequalities), ("equalities", equalities)):
        if checks.check_integer(argument, count) < 0:
            raise ValueError(checks.error_message(argument, count, "an int >= 0"))
    if equalities >= n:
        raise ValueError(checks.error_message("equalities", equalities, f"fewer than n = {n}"))
    shapes = ((n, n), (inequalities, n), (equalities, n))
    triangle, rows, across = (
        jax.random.uniform(k, shape, jnp.float32, -1.0, 1.0) / math.sqrt(n)
        for k, shape in zip(jax.random.split(key, 3), shapes, strict=True)
    )
    return LayerParameters(
        root=jnp.eye(n, dtype=jnp.float32) + jnp.tril(triangle),
        rows=rows,
        room=jnp.full(inequalities, math.log(math.e - 1), jnp.float32),
        equalities=across,
        inside=jnp.zeros(n, jnp.float32),
    )


def apply_layer(parameters: LayerParameters, p: jax.Array, epsilon: float = 1e-4) -> Solution:
    """Solves the program of a layer for its input: `min ½ zᵀ(LLᵀ + ε I)z + pᵀz`.

    The constraints are `Gz <= G inside + softplus(room)` and `Az = A inside`: OptNet's
    parameterisation, which is feasible and has one solution by construction.

    Args:
      parameters: From `init_layer`.
      p: The input, `[..., n]`.
      epsilon: ε > 0.

    Returns:
      The solution for each row; `z` is the output of the layer.

    Raises:
      TypeError: If the input is no floating array, or of another dtype than the parameters.
      ValueError: If shapes do not fit, or ε is not positive.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> parameters = init_layer(jax.random.key(0), n=3, inequalities=4)
      >>> print(apply_layer(parameters, jnp.ones((5, 3))).z.shape)
      (5, 3)

    References:
      Amos and Kolter, OptNet: Differentiable Optimization as a Layer in Neural Networks, ICML 2017.
    """
    checks.check_positive("epsilon", epsilon)
    root = jnp.tril(parameters.root)
    Q = times(root, root.T) + epsilon * jnp.eye(root.shape[0], dtype=root.dtype)
    inside = parameters.inside
    h = times(parameters.rows, inside) + jax.nn.softplus(parameters.room)
    b = times(parameters.equalities, inside)
    return solve(Q, p, parameters.rows, h, parameters.equalities, b)


class QuadraticLayer(hk.Module):
    """A quadratic layer as a Haiku module: `init_layer` and `apply_layer` in one.

    Example:
      >>> import haiku as hk, jax, jax.numpy as jnp
      >>> layer = hk.transform(lambda p: QuadraticLayer(inequalities=4)(p).z)
      >>> p = jnp.ones((5, 3))
      >>> print(layer.apply(layer.init(jax.random.key(0), p), None, p).shape)
      (5, 3)
    """

    def __init__(
        self,
        inequalities: int,
        equalities: int = 0,
        epsilon: float = 1e-4,
        name: str | None = None,
    ):
        """Makes the module.

        Args:
          inequalities: How many.
          equalities: How many.
          epsilon: Added to the diagonal of Q.
          name: Of the module.
        """
        super().__init__(name=name)
        self._inequalities, self._equalities = inequalities, equalities
        self._epsilon = epsilon

    def __call__(self, p: jax.Array) -> Solution:
        """Solves for an input `[..., n]`; n is the number of variables."""
        n = checks.check_scores("p", p).shape[-1]
        counts = (n, self._inequalities, self._equalities)
        shapes = jax.eval_shape(lambda: init_layer(jax.random.key(0), *counts))
        drawn: list[LayerParameters] = []

        def parameter(name: str) -> jax.Array:
            def draw(shape: Sequence[int], dtype: Any) -> jax.Array:
                if not drawn:  # by one key
                    drawn.append(init_layer(hk.next_rng_key(), *counts))
                return getattr(drawn[0], name).astype(dtype)

            return hk.get_parameter(name, getattr(shapes, name).shape, p.dtype, init=draw)

        parameters = LayerParameters(*map(parameter, LayerParameters._fields))
        return apply_layer(parameters, p, self._epsilon)
