# SPDX-License-Identifier: Apache-2.0
"""CLRS's encoders for the probes of a sort: each probe's scalar times a learned vector.

Every probe of a sort is one scalar for each node or edge, so features of hidden width are an outer
combination of a few scalars with fixed vectors. :class:`NodeFeatures` and :class:`EdgeFeatures`
keep them in that form: a linear map of the features is applied to the vectors, which are the same
for all nodes of all lists, and costs a few multiplications a node instead of ``h * h``.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from arlsort.reasoner.config import AlgorithmSpec

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
    """Edge features ``sum of scalar * vector + bias``, never formed at hidden width.

    Attributes:
      scalars: for each probe ``[b, n, n]``.
      vectors: ``[k, h]``, one for each probe.
      bias: ``[h]``.
    """

    scalars: tuple[Array, ...]
    vectors: Array
    bias: Array

    def linear(self, w: Array) -> "EdgeFeatures":
        """``features @ w``, in the same form."""
        return EdgeFeatures(self.scalars, self.vectors @ w, self.bias @ w)

    def varying(self) -> Array:
        """The part that is not the same for all edges, ``[b, n, n, h]``."""
        terms = zip(self.scalars, self.vectors, strict=True)
        parts = [scalar[..., None] * vector[None, None, None] for scalar, vector in terms]
        return functools.reduce(jnp.add, parts)

    def dense(self) -> Array:
        """The features themselves, ``[b, n, n, h]``."""
        return self.varying() + self.bias[None, None, None]


class Features(NamedTuple):
    """What a step of the processor sees of the inputs and hints.

    Attributes:
      nodes: of inputs and MASK_ONE hints.
      edges: of POINTER hints.
      graph: ``[b, h]`` of CATEGORICAL hints; None where the sort has none.
    """

    nodes: NodeFeatures
    edges: EdgeFeatures
    graph: Array | None


class Encoders:
    """The encoders of one algorithm, with CLRS's parameter names."""

    def __init__(self, hidden_size: int, spec: AlgorithmSpec):
        self._spec = spec
        self._encoders = {
            name: Affine(hidden_size, name=f"algo_0_{name}_enc_linear")
            for name in ("pos", "key", *spec.hints)
        }

    def __call__(self, keys: Array, pos: Array, hints: Mapping[str, Array]) -> Features:
        """Encodes inputs ``[b, n]`` and hints, which are weights ``[b, ..., choices]``."""
        spec = self._spec
        scalars = {"pos": pos, "key": keys, **{name: hints[name] for name in spec.masks}}
        pointers = {name: hints[name] for name in spec.pointers}
        nodes = NodeFeatures(
            jnp.stack(list(scalars.values()), axis=-1), *self._weights(dict.fromkeys(scalars, 1))
        )
        edges = EdgeFeatures(tuple(pointers.values()), *self._weights(dict.fromkeys(pointers, 1)))
        if not spec.categories:
            return Features(nodes, edges, None)
        states = jnp.concatenate([hints[name] for name, _ in spec.categories], axis=-1)
        w, b = self._weights(dict(spec.categories))
        return Features(nodes, edges, states @ w + b[None])

    def _weights(self, sizes: Mapping[str, int]) -> tuple[Array, Array]:
        """The vectors of some probes of given sizes, ``[sum, h]``, and their one bias ``[h]``."""
        w, b = zip(
            *(self._encoders[name].weights(size) for name, size in sizes.items()), strict=True
        )
        return jnp.concatenate(w), functools.reduce(jnp.add, b)
