# SPDX-License-Identifier: Apache-2.0
"""What devices that share a list do together: sort it, send parts on, tell each other numbers."""

import jax
import jax.numpy as jnp
from jax import lax


def sorted_parts(x: jax.Array, axis_name: str) -> jax.Array:
    """Sorts in parts: neighbours merge theirs, and one keeps the smaller half, in turn."""
    devices, me = lax.axis_size(axis_name), lax.axis_index(axis_name)
    m, own = x.shape[-1], jnp.sort(x, axis=-1)
    for turn in range(devices if devices > 1 else 0):
        firsts = range(turn % 2, devices - 1, 2)
        pairs = [pair for i in firsts for pair in ((i, i + 1), (i + 1, i))]
        other = lax.ppermute(own, axis_name, pairs)
        first = ((me - turn) % 2 == 0) & (me < devices - 1)
        last = ((me - turn) % 2 == 1) & (me > 0)
        # Equal scores of the first part stay before those of the second.
        pair = jnp.where(first, jnp.stack([own, other]), jnp.stack([other, own]))
        both = jnp.sort(jnp.concatenate([pair[0], pair[1]], axis=-1), axis=-1)
        own = jnp.where(first, both[..., :m], jnp.where(last, both[..., m:], own))
    return own


def send(x: jax.Array, axis_name: str, by: int) -> jax.Array:
    """Sends an array to a neighbour, in a circle."""
    devices = lax.axis_size(axis_name)
    return lax.ppermute(x, axis_name, [(i, (i + by) % devices) for i in range(devices)])


def everyone(x: jax.Array, axis_name: str) -> jax.Array:
    """What each device has, known to all: `[..., devices]`, the same everywhere."""
    own = lax.iota(jnp.int32, lax.axis_size(axis_name)) == lax.axis_index(axis_name)
    work = x.astype(jnp.int8) if x.dtype == jnp.bool_ else x
    mine = jnp.where(own, work[..., None], jnp.zeros((), work.dtype))
    return lax.psum(mine, axis_name).astype(x.dtype)
