# SPDX-License-Identifier: Apache-2.0
"""SoftSort of shared lists: all parts go round once, past the rows of every device."""

import jax
import jax.numpy as jnp
from jax import lax

from arlsort.numerics import laplace, meshes
from arlsort.operators.softsort import SoftSort
from arlsort.shared_lists import parts

_BLOCK = 2**18  # weights that are made at a time


def sort(operator: SoftSort, scores: jax.Array, axis_name: str) -> jax.Array:
    devices = lax.axis_size(axis_name)
    heads = parts.sorted_parts(scores, axis_name)
    temperature = jnp.asarray(operator.temperature)

    def meet(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple, None]:
        columns, sums = carry

        def row(head: jax.Array) -> jax.Array:
            # A row's own score is among the columns of some device: the weight there is one, the
            # most. What has none is cut off before the division.
            distance = jnp.abs(head[..., None] - columns) ** operator.power
            cutoff = laplace.cutoff_of(distance.dtype)
            weights = jnp.exp(-jnp.minimum(distance, cutoff * temperature) / temperature)
            return jnp.stack([weights.sum(axis=-1), (weights * columns).sum(axis=-1)], axis=-1)

        rows = jnp.moveaxis(heads, -1, 0)
        found = lax.map(jax.checkpoint(row), rows, batch_size=max(1, _BLOCK // columns.size))
        return (parts.send(columns, axis_name, 1), sums + jnp.moveaxis(found, 0, -2)), None

    start = meshes.vary_alike(scores, jnp.zeros((*scores.shape, 2), scores.dtype))
    (_, sums), _ = lax.scan(jax.checkpoint(meet), start, length=devices)
    return sums[..., 1] / sums[..., 0]
