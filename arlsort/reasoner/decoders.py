# SPDX-License-Identifier: Apache-2.0
"""CLRS's decoders for the probes of a sort: masks, pointers, states, the permutation pointer."""

from collections.abc import Mapping
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from arlsort.reasoner.config import AlgorithmSpec
from arlsort.reasoner.encoders import Affine, EdgeFeatures, Features
from arlsort.reasoner.processor import max_over_senders, on_rows

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


class PointerDecoder:
    """Logits ``[b, n, n]`` of a node pointer: row j holds the weights of j's targets.

    logit(j, i) = w . max(A f_j, B f_i + C [e_ij, t_ij]) + c, with f the node features and t the
    processor's edges.
    """

    def __init__(self, name: str, hidden_size: int):
        name = f"algo_0_{name}_dec_linear"
        self._size = hidden_size
        linears = [Affine(hidden_size, name=name) for _ in range(3)]  # in CLRS's order
        self.ends = [linear.weights(3 * hidden_size) for linear in linears[:2]]  # A and B
        self._edge = linears[2].weights(2 * hidden_size)
        self._score = Affine(1, name=name).weights(hidden_size)

    def __call__(
        self, source: Array, target: Array, edges: EdgeFeatures, new_edges: Array
    ) -> Array:
        """Takes A f and B f, both ``[b, n, h]``, and the edges; new ones at their own dtype."""
        (w, b), dtype, work = self._edge, new_edges.dtype, source.dtype
        known = edges.linear(w[: self._size])
        target = target + (known.bias + b)[None, None]
        edge = on_rows(lambda rows: rows @ w[self._size :].astype(dtype), new_edges)
        edge = edge + known.varying().astype(dtype) + target.astype(dtype)[:, :, None]
        source = jnp.broadcast_to(source.astype(dtype)[:, None], edge.shape)
        # The maximum, [b, i, j, h]; jnp.maximum differentiates by comparing with its own result,
        # which can fail as at `max_over_senders`.
        merged = jnp.where(source > edge, source, edge)
        score, offset = self._score
        scores = jnp.sum(merged * score[:, 0].astype(dtype)[None, None, None], axis=-1)
        return jnp.swapaxes(scores.astype(work), 1, 2) + offset[None, None]


class Step(NamedTuple):
    """What the decoders see of one step of the processor.

    Attributes:
      features: of the input.
      hidden: ``[b, n, h]`` the state before.
      new_hidden: ``[b, n, h]`` the state after.
      new_edges: ``[b, n, n, h]`` the processor's edges.
    """

    features: Features
    hidden: Array
    new_hidden: Array
    new_edges: Array


class StateDecoder:
    """Logits ``[b, states]`` of a state of the whole run: A max_j f_j + B g + c."""

    def __init__(self, name: str, hidden_size: int, states: int):
        name = f"algo_0_{name}_dec_linear"
        linears = [Affine(states, name=name) for _ in range(2)]  # in CLRS's order
        self._nodes = linears[0].weights(3 * hidden_size)
        self._graph = linears[1].weights(hidden_size)

    def __call__(self, step: Step) -> Array:
        """Takes the features of nodes and graph."""
        nodes, _, graph = step.features
        parts = [nodes.dense(), step.hidden, step.new_hidden]
        largest = jnp.concatenate([max_over_senders(part) for part in parts], axis=-1)  # [b, 3h]
        (w, b), (w_graph, b_graph) = self._nodes, self._graph
        logits = largest @ w + (b + b_graph)[None]
        return logits if graph is None else logits + graph @ w_graph


class Decoders:
    """The decoders of one algorithm, with CLRS's parameter names.

    Node features are f = [x, h, h'], of the processor's input, old and new hidden state; what is
    linear in them is one product for all decoders.
    """

    def __init__(self, hidden_size: int, spec: AlgorithmSpec):
        self._size = hidden_size
        self._pred = PointerDecoder("pred", hidden_size)
        self._pred_mask = self._mask("pred_mask")
        self._pointers = {name: PointerDecoder(name, hidden_size) for name in spec.pointers}
        self._masks = {name: self._mask(name) for name in spec.masks}
        self._states = {
            name: StateDecoder(name, hidden_size, states) for name, states in spec.categories
        }

    def hints(self, step: Step) -> dict[str, Array]:
        """Logits of the next hints, ``[b, ..., choices]``."""
        logits = self._decode(self._pointers, self._masks, step)
        return {**logits, **{name: decoder(step) for name, decoder in self._states.items()}}

    def outputs(self, step: Step) -> tuple[Array, Array]:
        """Logits of the output pointer ``[b, n, n]``, before Sinkhorn, and mask ``[b, n]``."""
        logits = self._decode({"pred": self._pred}, {"pred_mask": self._pred_mask}, step)
        return logits["pred"], logits["pred_mask"]

    def _mask(self, name: str) -> tuple[Array, Array]:
        return Affine(1, name=f"algo_0_{name}_dec_linear").weights(3 * self._size)

    def _decode(
        self,
        pointers: Mapping[str, PointerDecoder],
        masks: Mapping[str, tuple[Array, Array]],
        step: Step,
    ) -> dict[str, Array]:
        size = self._size
        ends = [weights for decoder in pointers.values() for weights in decoder.ends]
        weights = [*ends, *masks.values()]
        w = jnp.concatenate([w for w, _ in weights], axis=1)  # [3h, 2h for each pointer + masks]
        b = jnp.concatenate([b for _, b in weights])
        states = jnp.concatenate([step.hidden, step.new_hidden], axis=-1)
        decoded = on_rows(lambda rows: rows @ w[size:], states)
        decoded = decoded + step.features.nodes.linear(w[:size]) + b[None, None]
        *nodes, marks = jnp.split(decoded, [size * (i + 1) for i in range(len(ends))], axis=-1)
        edges, new_edges = step.features.edges, step.new_edges
        logits = {
            name: decoder(source, target, edges, new_edges)
            for (name, decoder), source, target in zip(
                pointers.items(), nodes[::2], nodes[1::2], strict=True
            )
        }
        return {**logits, **{name: marks[..., i] for i, name in enumerate(masks)}}


def gumbel_noise(shape: tuple[int, ...]) -> Array:
    """Gumbel noise from Haiku's next key, with CLRS's guards against log(0)."""
    uniform = jax.random.uniform(hk.next_rng_key(), shape)
    return -jnp.log(-jnp.log(uniform + 1e-12) + 1e-12)
