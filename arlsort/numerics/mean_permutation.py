# SPDX-License-Identifier: Apache-2.0
"""The mean permutation of noisy scores, by numerical integration.

A learned sort predicts the average permutation of noisy copies of the scores. For independent noise
there is a formula. Given the noise z of element j, the others are below it independently, element k
with probability `F((x_j + s_j z - x_k) / s_k)`, F the distribution function of the noise. The
number of elements below j is its place, so the place has a Poisson-binomial distribution, and its
mean over z is an integral in one dimension.
"""

from collections.abc import Callable, Mapping
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np

from arlsort import checks
from arlsort.numerics import finite
from arlsort.numerics import noise as laws

NODES: Final[Mapping[str, int]] = {"gaussian": 40, "logistic": 64, "cauchy": 96, "gumbel": 64}
"""Points of the integral that leave an error below 1e-3 where all scores have equal noise."""


def _tails(low: float, high: float) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """Evenly spaced points, and the derivative of the point by its number."""

    def points(count: int) -> tuple[np.ndarray, np.ndarray]:
        z = np.linspace(low, high, count)
        return z, np.ones(count)

    return points


def _heavy_tails(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points whose distance grows with their size; beyond them is a ten-thousandth of the mass."""
    s = np.linspace(-9.5, 9.5, count)
    return np.sinh(s), np.cosh(s)


_POINTS: Final[Mapping[str, Callable[[int], tuple[np.ndarray, np.ndarray]]]] = {
    "gaussian": _tails(-6.5, 6.5),
    "logistic": _tails(-18.0, 18.0),
    "cauchy": _heavy_tails,
    "gumbel": _tails(-3.5, 18.0),
}


def mean_permutation(
    scores: jax.Array,
    noise: str = "gaussian",
    noise_scales: jax.Array | None = None,
    *,
    nodes: int | None = None,
) -> jax.Array:
    """E[P(x + s z)]: the permutation matrix that sorts noisy scores, averaged over the noise.

    Time and memory are of order `nodes * n^3` and `nodes * n^2` for each list. Everything is smooth
    in the scores and in their noise scales, and can be differentiated.

    Args:
      scores: `[..., n]`, floating, finite, in units of the noise.
      noise: Law of the unit noise, one of `arlsort.numerics.noise.LAWS`.
      noise_scales: `[..., n]`, > 0; factors of the noise of each score. None for 1.
      nodes: Points of the integral; None for `NODES`. Take ten times as many
        where noise scales differ: a score with much noise meets ones with little in steep steps.

    Returns:
      `P[..., n, n]`, row i the weights of the elements at ascending position i.

    Raises:
      TypeError: If an argument is not a floating array.
      ValueError: If the law is unknown, or shapes differ.

    Example:
      >>> import jax.numpy as jnp
      >>> print(mean_permutation(jnp.array([0.0, 2.0]), "cauchy").round(2))  # arctan(1) / pi + 1/2
      [[0.75 0.25]
       [0.25 0.75]]

    References:
      Taylor et al., SoftRank: Optimizing Non-Smooth Rank Metrics, WSDM 2008 (which takes the
      comparisons to be independent, where here they are so given z alone).
    """
    law, scores = laws.law(noise), checks.check_scores("scores", scores)
    scores = scores.astype(finite.work_dtype(scores))
    if noise_scales is not None:
        noise_scales = checks.check_noise_scales(scores, noise_scales).astype(scores.dtype)
    n = scores.shape[-1]
    if n < 2:
        return jnp.ones((*scores.shape, n), scores.dtype)
    points, derivative = (
        jnp.asarray(values, scores.dtype)
        for values in _POINTS[noise](NODES[noise] if nodes is None else nodes)
    )
    weights = jax.nn.softmax(law.log_density(points) + jnp.log(derivative))
    scales = jnp.ones_like(scores) if noise_scales is None else noise_scales
    z = jnp.broadcast_to(points, (*scores.shape, points.size))
    noisy = scores[..., None] + scales[..., None] * z  # [..., n, nodes]
    elements = jax.lax.broadcasted_iota(jnp.int32, noisy.shape, noisy.ndim - 2)
    absent = jnp.zeros((*noisy.shape, n), scores.dtype)
    start = absent.at[..., 0].set(1.0)

    def meet(places: jax.Array, other: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        index, score, scale = other  # each [...]
        below = law.below((noisy - score[..., None, None]) / scale[..., None, None])
        below = jnp.where(elements == index, 0.0, below)[..., None]
        moved = jnp.concatenate([absent[..., :1], places[..., :-1]], axis=-1)
        return places + below * (moved - places), None

    others = jnp.moveaxis(scores, -1, 0), jnp.moveaxis(scales, -1, 0)
    places, _ = jax.lax.scan(meet, start, (jnp.arange(n), *others))
    return jnp.einsum("...jqi,q->...ij", places, weights)
