# SPDX-License-Identifier: Apache-2.0
"""CLRS's encoders for the probes of a sort: each probe's scalar times a learned vector.

Every probe of a sort is one scalar for each node or edge. So features of hidden width combine a few
scalars with fixed vectors, a `Basis`, and are kept in that form. A linear map of the features is
applied to the vectors, once for all steps, nodes and lists.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from arlsort.reasoner.config import PLACE, AlgorithmSpec

Array = jax.Array


class Affine(hk.Linear):
    """`hk.Linear` that also returns its weights, for maps of factored features."""

    def weights(self, input_size: int) -> tuple[Array, Array]:
        """Returns `w` `[input_size, output_size]` and `b` `[output_size]`."""
        stddev = 1.0 / input_size**0.5
        init = self.w_init or hk.initializers.TruncatedNormal(stddev=stddev)
        w = hk.get_parameter("w", (input_size, self.output_size), jnp.float32, init)
        b = hk.get_parameter("b", (self.output_size,), jnp.float32, self.b_init or jnp.zeros)
        return w, b


class Basis(NamedTuple):
    """The features of scalar probes: `scalars @ vectors + bias`.

    Attributes:
      vectors: `[k, h]`, one for each probe.
      bias: `[h]`.
    """

    vectors: Array
    bias: Array

    def mapped(self, w: Array, b: Array) -> "Basis":
        """The basis of `features @ w + b`."""
        return Basis(self.vectors @ w, self.bias @ w + b)

    def combine(self, scalars: Array) -> Array:
        """The features of `[..., k]` scalars, `[..., h]`."""
        return matmul_keys(scalars, self.vectors) + lift(self.bias, scalars.ndim)

    def varying(self, scalars: Sequence[Array]) -> Array:
        """The features less the bias, `[..., h]`, of k arrays `[...]` of scalars.

        A product, whose gradient is one as well, and not k sums over `h`.
        """
        rows = jnp.stack(scalars, axis=-1)
        found = matmul_keys(rows.reshape(-1, rows.shape[-1]), self.vectors)
        return found.reshape(*rows.shape[:-1], found.shape[-1])


class Scalars(NamedTuple):
    """Inputs and hints of a step of the processor.

    Attributes:
      nodes: `[b, n, k]` of inputs and MASK_ONE hints.
      edges: For each POINTER hint `[b, n, n]`; before them the comparisons, if any, and after them
        the transposed place pointers, if any.
      graph: `[b, k]` of CATEGORICAL hints, of which most sorts have none: k = 0.
    """

    nodes: Array
    edges: tuple[Array, ...]
    graph: Array


def lift(vector: Array, ndim: int) -> Array:
    """A vector with axes of size one before it."""
    return vector.reshape((1,) * (ndim - 1) + vector.shape)


def matmul_keys(rows: Array, w: Array) -> Array:
    """`rows @ w` in full precision, whatever the default of the device.

    For rows that hold keys: these are up to thousands, and differences of about one matter.
    """
    return jnp.matmul(rows, w, precision=jax.lax.Precision.HIGHEST)


class Encoders:
    """The encoders of one algorithm, with CLRS's parameter names.

    Attributes:
      nodes: Basis of node features.
      edges: Basis of edge features.
      graph: Basis of graph features.
    """

    def __init__(
        self,
        hidden_size: int,
        spec: AlgorithmSpec,
        *,
        noise_scales: bool,
        comparisons: bool,
        places: bool = False,
        dtype: DTypeLike = jnp.float32,
    ):
        def basis(sizes: Mapping[str, int]) -> Basis:
            linears = [
                Affine(hidden_size, name=f"algo_0_{name}_enc_linear").weights(size)
                for name, size in sizes.items()
            ]
            vectors = [jnp.zeros((0, hidden_size), dtype), *(w for w, _ in linears)]
            biases = [jnp.zeros(hidden_size, dtype), *(b for _, b in linears)]
            return Basis(jnp.concatenate(vectors), functools.reduce(jnp.add, biases))

        self._spec, self._places = spec, places
        inputs = ["pos", "key", "level"] if noise_scales else ["pos", "key"]
        pairs = ["comparison"] if noise_scales or comparisons else []
        self.nodes = basis(dict.fromkeys([*inputs, *spec.masks], 1))
        # Both ways: an element sees its place, and a place its element.
        turned = [f"{PLACE}_turned"] if places else []
        self.edges = basis(dict.fromkeys([*pairs, *spec.pointers, *turned], 1))
        self.graph = basis(dict(spec.categories))

    def scalars(
        self,
        keys: Array,
        pos: Array,
        hints: Mapping[str, Array],
        noise_scales: Array | None = None,
        comparisons: Array | None = None,
    ) -> Scalars:
        """Sorts inputs and hints, which are weights `[b, ..., choices]`, by place.

        Args:
          keys: `[b, n]`.
          pos: `[b, n]`.
          hints: By name.
          noise_scales: `[b, n]`, if the network sees them. Keys and their differences in units of
            the noise then enter as `asinh`: nearly linear where they are small, logarithmic where
            the noise hardly matters.
          comparisons: `[b, n, n]`, if the network sees them.
        """
        spec = self._spec
        inputs, pairs = [pos, keys], [] if comparisons is None else [comparisons]
        if self._places:
            inputs = [pos, jnp.arcsinh(keys)]
        if noise_scales is not None:
            inputs = [pos, jnp.arcsinh(keys), jnp.log(noise_scales)]
            difference = keys[:, None, :] - keys[:, :, None]
            pairs = [
                jnp.arcsinh(difference / (noise_scales[:, None, :] + noise_scales[:, :, None]))
            ]
        nodes = jnp.stack([*inputs, *(hints[name] for name in spec.masks)], axis=-1)
        states = [hints[name] for name, _ in spec.categories]
        edges = [*pairs, *(hints[name] for name in spec.pointers)]
        if self._places:
            edges.append(jnp.swapaxes(hints[PLACE], 1, 2))
        return Scalars(
            nodes,
            tuple(edges),
            jnp.concatenate([nodes[:, 0, :0], *states], axis=-1),
        )
