# SPDX-License-Identifier: Apache-2.0
"""Models that denoise: learned total variation and two networks."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from arlsort import quadratic

_EPSILON = 1e-4  # on the diagonal of the dual program
_FIRST_WEIGHT = 13.0  # of a random difference matrix, as OptNet's authors
_HIDDEN = 200
_CHANNELS, _WIDTH = 32, 7


class Differences(NamedTuple):
    """Of `argmin_z ½ |z - W y|² + sum_i w_i |D z|_i`.

    Attributes:
      matrix: D, `[n - 1, n]`.
      log_weights: Of w, `[n - 1]`.
      mixing: W less the identity, `[n, n]`.
    """

    matrix: jax.Array
    log_weights: jax.Array
    mixing: jax.Array


def denoise(parameters: Differences, y: jax.Array) -> jax.Array:
    """Minimises by the dual program: `z = W y - Dᵀu`, `u = argmin ½ |Dᵀu - W y|², |u| <= w`."""
    D, weights = parameters.matrix, jnp.exp(parameters.log_weights)
    k = D.shape[0]
    y = y + y @ parameters.mixing.T
    Q = D @ D.T + _EPSILON * jnp.eye(k)
    bounds = jnp.concatenate([jnp.eye(k), -jnp.eye(k)])
    u = quadratic.solve(Q, -y @ D.T, bounds, jnp.concatenate([weights, weights])).z
    return y - u @ D


@dataclasses.dataclass(frozen=True)
class Model:
    """What is trained.

    Attributes:
      init: Makes parameters from a key, the length, and the weight that total variation has.
      apply: Denoises series `[rows, n]`.
      rate: Which setting is its learning rate.
      fixed: Names of parameters that are not learned.
    """

    init: Callable[[jax.Array, int, float], Any]
    apply: Callable[[Any, jax.Array], jax.Array]
    rate: str
    fixed: tuple[str, ...] = ()


def _random(key: jax.Array, n: int, weight: float) -> Differences:
    matrix = 0.3 * jax.random.normal(key, (n - 1, n))
    return Differences(matrix, jnp.full(n - 1, np.log(_FIRST_WEIGHT)), jnp.zeros((n, n)))


def _total_variation(key: jax.Array, n: int, weight: float) -> Differences:
    matrix = jnp.diff(jnp.eye(n), axis=0)
    return Differences(matrix, jnp.full(n - 1, np.log(weight)), jnp.zeros((n, n)))


def _network(body: Callable[[jax.Array], jax.Array]) -> tuple[Any, Any]:
    """A network that adds to the series; both in units of a typical height."""
    unit = 50.0
    module: Any = hk.without_apply_rng(hk.transform(lambda y: y + unit * body(y / unit)))
    return lambda key, n, weight: module.init(key, jnp.zeros((1, n))), module.apply


def _dense(y: jax.Array) -> jax.Array:
    return hk.nets.MLP([_HIDDEN, y.shape[-1]])(y)


def _dense_norm(y: jax.Array) -> jax.Array:
    hidden = y
    for _ in range(2):  # OptNet's authors normalise over the batch, this over features
        hidden = hk.LayerNorm(-1, create_scale=True, create_offset=True)(hk.Linear(_HIDDEN)(hidden))
        hidden = jax.nn.relu(hidden)
    return hk.Linear(y.shape[-1])(hidden)


def _convolution(y: jax.Array) -> jax.Array:
    hidden = y[..., None]
    for _ in range(3):
        hidden = jax.nn.relu(hk.Conv1D(_CHANNELS, _WIDTH)(hidden))
    return hk.Conv1D(1, _WIDTH, w_init=hk.initializers.Constant(0.0))(hidden)[..., 0]


MODELS = {
    # As its authors, who learn no more than D where it starts at random.
    "optnet": Model(_random, denoise, "optnet_rate", ("log_weights", "mixing")),
    "optnet_tv": Model(_total_variation, denoise, "optnet_tv_rate"),
    "dense": Model(*_network(_dense), "network_rate"),
    "dense_norm": Model(*_network(_dense_norm), "network_rate"),
    "convolution": Model(*_network(_convolution), "network_rate"),
}
