# SPDX-License-Identifier: Apache-2.0
"""CLRS's encoders for the probes of a sort: each probe's scalar times a learned vector.

Node features are a sum over ``pos``, ``key`` and the MASK_ONE hints. The only edge probe is the
pointer hint, so the edge features are an outer combination of one scalar for each edge with a
fixed vector, plus a fixed vector; :class:`EdgeFeatures` keeps them in that form, and every linear
map of them is applied to the two vectors instead of to ``n * n`` features.
"""

import functools
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

Array = jax.Array


class Affine(hk.Linear):
    """``hk.Linear`` that also gives its weights away, for maps of factored features."""

    def weights(self, input_size: int) -> tuple[Array, Array]:
        """Returns ``w`` ``[input_size, output_size]`` and ``b`` ``[output_size]``."""
        stddev = 1.0 / input_size**0.5
        init = self.w_init or hk.initializers.TruncatedNormal(stddev=stddev)
        w = hk.get_parameter("w", (input_size, self.output_size), jnp.float32, init)
        b = hk.get_parameter("b", (self.output_size,), jnp.float32, self.b_init or jnp.zeros)
        return w, b


class EdgeFeatures(NamedTuple):
    """Edge features ``scalar * vector + bias``, never formed at hidden width.

    Attributes:
      scalar: ``[b, n, n]``.
      vector: ``[h]``.
      bias: ``[h]``.
    """

    scalar: Array
    vector: Array
    bias: Array

    def linear(self, w: Array, b: Array | float = 0.0) -> Array:
        """``features @ w + b``, ``[b, n, n, out]``."""
        return EdgeFeatures(self.scalar, self.vector @ w, self.bias @ w + b).dense()

    def dense(self) -> Array:
        """The features themselves, ``[b, n, n, h]``."""
        vector, bias = (v[None, None, None] for v in (self.vector, self.bias))
        return self.scalar[..., None] * vector + bias


class Encoders:
    """The encoders of one algorithm, with CLRS's parameter names."""

    def __init__(self, hidden_size: int, mask_hints: tuple[str, ...]):
        self._encoders = {
            name: Affine(hidden_size, name=f"algo_0_{name}_enc_linear")
            for name in ("pos", "key", "pred_h", *mask_hints)
        }

    def nodes(self, scalars: dict[str, Array]) -> Array:
        """Sum of the encodings of ``[b, n]`` scalars, ``[b, n, h]``."""
        encoded = [self._encoders[name](value[..., None]) for name, value in scalars.items()]
        return functools.reduce(jnp.add, encoded)

    def edges(self, pointers: Array) -> EdgeFeatures:
        """Encoding of the pointer hint ``[b, n, n]``."""
        w, b = self._encoders["pred_h"].weights(1)
        return EdgeFeatures(pointers, w[0], b)
