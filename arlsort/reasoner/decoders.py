# SPDX-License-Identifier: Apache-2.0
"""CLRS's decoders for the probes of a sort: masks, pointers and the permutation pointer."""

import haiku as hk
import jax
import jax.numpy as jnp

from arlsort.reasoner.encoders import Affine, EdgeFeatures

Array = jax.Array

_DIAGONAL = 1e6  # subtracted from the logit of an element being its own predecessor (CLRS)


def log_sinkhorn(logits: Array, steps: int, temperature: float) -> Array:
    """Log of a nearly doubly stochastic matrix without diagonal, as CLRS computes it.

    Args:
      logits: ``[..., n, n]``.
      steps: rounds of row and then column normalisation; columns sum to one exactly.
      temperature: divides the logits first.
    """
    n = logits.shape[-1]
    diagonal = jnp.broadcast_to(jnp.eye(n, dtype=bool), logits.shape)
    x = logits / temperature - jnp.where(diagonal, _DIAGONAL, 0.0).astype(logits.dtype)

    def normalise(x: Array, _: None) -> tuple[Array, None]:
        return jax.nn.log_softmax(jax.nn.log_softmax(x, axis=-1), axis=-2), None

    return jax.lax.scan(normalise, x, None, length=steps)[0]


class MaskDecoder:
    """Logits ``[b, n]`` of a MASK_ONE probe from node features ``[b, n, 3h]``."""

    def __init__(self, name: str):
        self._linear = Affine(1, name=f"algo_0_{name}_dec_linear")

    def __call__(self, nodes: Array) -> Array:
        return self._linear(nodes)[..., 0]


class PointerDecoder:
    """Logits ``[b, n, n]`` of a node pointer: row j holds the weights of j's targets.

    logit(j, i) = w . max(A f_j, B f_i + C [e_ij, t_ij]) + c, with f the node features and t the
    processor's edges.
    """

    def __init__(self, name: str, hidden_size: int):
        name = f"algo_0_{name}_dec_linear"
        self._size = hidden_size
        self._source, self._target, self._edge = (Affine(hidden_size, name=name) for _ in range(3))
        self._score = Affine(1, name=name)

    def __call__(self, nodes: Array, edges: EdgeFeatures, new_edges: Array) -> Array:
        w, b = self._edge.weights(2 * self._size)
        edge = edges.linear(w[: self._size], b) + new_edges @ w[self._size :]
        edge += self._target(nodes)[:, :, None]  # [b, i, j, h]
        merged = jnp.maximum(self._source(nodes)[:, None], edge)
        return jnp.swapaxes(self._score(merged)[..., 0], 1, 2)


class Decoders:
    """The decoders of one algorithm, with CLRS's parameter names."""

    def __init__(self, hidden_size: int, mask_hints: tuple[str, ...]):
        self._pred = PointerDecoder("pred", hidden_size)
        self._pred_mask = MaskDecoder("pred_mask")
        self._pointers = PointerDecoder("pred_h", hidden_size)
        self._masks = {name: MaskDecoder(name) for name in mask_hints}

    def hints(
        self, nodes: Array, edges: EdgeFeatures, new_edges: Array
    ) -> tuple[Array, dict[str, Array]]:
        """Logits of the next pointer hint ``[b, n, n]`` and mask hints ``[b, n]``."""
        masks = {name: decoder(nodes) for name, decoder in self._masks.items()}
        return self._pointers(nodes, edges, new_edges), masks

    def outputs(self, nodes: Array, edges: EdgeFeatures, new_edges: Array) -> tuple[Array, Array]:
        """Logits of the output pointer ``[b, n, n]``, before Sinkhorn, and mask ``[b, n]``."""
        return self._pred(nodes, edges, new_edges), self._pred_mask(nodes)


def gumbel_noise(shape: tuple[int, ...]) -> Array:
    """Gumbel noise from Haiku's next key, with CLRS's guards against log(0)."""
    uniform = jax.random.uniform(hk.next_rng_key(), shape)
    return -jnp.log(-jnp.log(uniform + 1e-12) + 1e-12)
