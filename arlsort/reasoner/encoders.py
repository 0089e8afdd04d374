# SPDX-License-Identifier: Apache-2.0
"""CLRS's encoders for the probes of a sort: each probe's scalar times a learned vector.

Every probe of a sort is one scalar for each node or edge, so features of hidden width are an outer
combination of a few scalars with fixed vectors. :class:`NodeFeatures` and :class:`EdgeFeatures`
keep them in that form: a linear map of the features is applied to the vectors, which are the same
for all nodes of all lists, and costs a few multiplications a node instead of ``h * h``.
"""

from collections.abc import Mapping, Sequence
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


class NodeFeatures(NamedTuple):
    """Node features ``scalars @ vectors + bias``.

    Attributes:
      scalars: ``[b, n, k]``, one for each probe.
      vectors: ``[k, h]``.
      bias: ``[h]``.
    """

    scalars: Array
    vectors: Array
    bias: Array

    def linear(self, w: Array) -> Array:
        """``features @ w``, ``[b, n, out]``."""
        bias = self.bias @ w
        return self._combine(self.vectors @ w) + bias[None, None]

    def dense(self) -> Array:
        """The features themselves, ``[b, n, h]``."""
        return self._combine(self.vectors) + self.bias[None, None]

    def _combine(self, vectors: Array) -> Array:
        # In full precision also where products are short by default: keys are up to thousands, and
        # what tells two of them apart is of the size of one.
        return jnp.matmul(self.scalars, vectors, precision=jax.lax.Precision.HIGHEST)


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

    def linear(self, w: Array) -> "EdgeFeatures":
        """``features @ w``, in the same form."""
        return EdgeFeatures(self.scalar, self.vector @ w, self.bias @ w)

    def varying(self) -> Array:
        """The part ``scalar * vector`` that is not the same for all edges, ``[b, n, n, h]``."""
        return self.scalar[..., None] * self.vector[None, None, None]

    def dense(self) -> Array:
        """The features themselves, ``[b, n, n, h]``."""
        return self.varying() + self.bias[None, None, None]


class Encoders:
    """The encoders of one algorithm, with CLRS's parameter names."""

    def __init__(self, hidden_size: int, mask_hints: Sequence[str]):
        self._encoders = {
            name: Affine(hidden_size, name=f"algo_0_{name}_enc_linear")
            for name in ("pos", "key", "pred_h", *mask_hints)
        }

    def nodes(self, scalars: Mapping[str, Array]) -> NodeFeatures:
        """Sum of the encodings of ``[b, n]`` scalars."""
        w, b = zip(*(self._encoders[name].weights(1) for name in scalars), strict=True)
        return NodeFeatures(
            jnp.stack(list(scalars.values()), axis=-1),
            jnp.concatenate(w),
            jnp.sum(jnp.stack(b), axis=0),
        )

    def edges(self, pointers: Array) -> EdgeFeatures:
        """Encoding of the pointer hint ``[b, n, n]``."""
        w, b = self._encoders["pred_h"].weights(1)
        return EdgeFeatures(pointers, w[0], b)
