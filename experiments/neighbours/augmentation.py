# SPDX-License-Identifier: Apache-2.0
"""Changes of training pictures that leave their class as it is."""

import jax
import jax.numpy as jnp
from jax import lax

NONE, CROP, CROP_FLIP = "none", "crop", "crop_flip"
AUGMENTATIONS = (NONE, CROP, CROP_FLIP)

_MARGIN_SHARE = 8  # a margin of 4 pixels on pictures of 32, as published


def augmented(pictures: jax.Array, key: jax.Array, how: str) -> jax.Array:
    """Changes each picture in its own way.

    Args:
      pictures: `[batch, height, width, channels]`.
      key: Randomness.
      how: One of `AUGMENTATIONS`. A crop shifts a picture by up to an eighth of its height, at
        least one pixel, and fills with zeros; a flip mirrors half of them.

    Returns:
      Pictures of the same shape.
    """
    if how == NONE:
        return pictures
    shift, mirror = jax.random.split(key)
    margin = max(1, pictures.shape[1] // _MARGIN_SHARE)
    corners = jax.random.randint(shift, (len(pictures), 2), 0, 2 * margin + 1)
    padded = jnp.pad(pictures, ((0, 0), (margin, margin), (margin, margin), (0, 0)))

    def crop(picture: jax.Array, corner: jax.Array) -> jax.Array:
        return lax.dynamic_slice(picture, (*corner, 0), pictures.shape[1:])

    cropped = jax.vmap(crop)(padded, corners)
    if how == CROP:
        return cropped
    flip = jax.random.bernoulli(mirror, shape=(len(pictures), 1, 1, 1))
    return jnp.where(flip, cropped[:, :, ::-1], cropped)
