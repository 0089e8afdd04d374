# SPDX-License-Identifier: Apache-2.0
"""CLRS's decoders for the probes of a sort: masks, pointers, states, the permutation pointer."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from arlsort.reasoner.config import AlgorithmSpec
from arlsort.reasoner.encoders import Affine, Encoders, Scalars, matmul_keys
from arlsort.reasoner.processor import max_over_senders, of_scalars_and_state, on_rows

Array = jax.Array

_DIAGONAL = 1e6  # subtracted from the logit of an element being its own predecessor (CLRS)


def log_sinkhorn(logits: Array, steps: int, temperature: float) -> Array:
    """Log of a nearly doubly stochastic matrix without diagonal, as CLRS computes it.

    Args:
      logits: `[..., n, n]`.
      steps: Rounds of row and then column normalisation; columns sum to one exactly.
      temperature: Divides the logits first.
    """
    n = logits.shape[-1]
    diagonal = jnp.broadcast_to(jnp.eye(n, dtype=bool), logits.shape)
    x = logits / temperature - jnp.where(diagonal, _DIAGONAL, 0.0).astype(logits.dtype)

    def normalise(x: Array, _: None) -> tuple[Array, None]:
        return jax.nn.log_softmax(jax.nn.log_softmax(x, axis=-1), axis=-2), None

    return jax.lax.scan(normalise, x, None, length=steps)[0]


PLACE_ROUNDS = 8
"""Rounds of balancing the last place pointers."""


def log_doubly_stochastic(logits: Array, rounds: int = PLACE_ROUNDS) -> Array:
    """Log of a nearly doubly stochastic matrix, by Sinkhorn's rounds of rows and columns.

    Args:
      logits: `[..., n, n]`.
      rounds: Of row and then column normalisation; columns sum to one exactly.
    """

    def normalise(x: Array, _: None) -> tuple[Array, None]:
        return jax.nn.log_softmax(jax.nn.log_softmax(x, axis=-1), axis=-2), None

    return jax.lax.scan(normalise, logits, None, length=rounds)[0]


class PointerDecoder:
    """Logits `[b, n, n]` of a node pointer: row j holds the weights of j's targets.

    logit(j, i) = w . max(A f_j, B f_i + C [e_ij, t_ij]) + c, with f the node features and t the
    processor's edges.
    """

    def __init__(self, name: str, hidden_size: int, encoders: Encoders):
        name = f"algo_0_{name}_dec_linear"
        linears = [Affine(hidden_size, name=name) for _ in range(3)]  # in CLRS's order
        self.ends = [linear.weights(3 * hidden_size) for linear in linears[:2]]  # A and B
        w, b = linears[2].weights(2 * hidden_size)
        self._known, self._new = encoders.edges.mapped(w[:hidden_size], b), w[hidden_size:]
        self._score = Affine(1, name=name).weights(hidden_size)

    def __call__(
        self, source: Array, target: Array, pointers: Sequence[Array], new_edges: Array
    ) -> Array:
        """Takes A f and B f, both `[b, n, h]`, and the edges; new ones at their own dtype."""
        dtype, work = new_edges.dtype, source.dtype
        target = target + self._known.bias[None, None]
        edge = on_rows(lambda rows: rows @ self._new.astype(dtype), new_edges)
        edge = edge + self._known.varying(pointers).astype(dtype)
        edge = edge + target.astype(dtype)[:, :, None]
        source = jnp.broadcast_to(source.astype(dtype)[:, None], edge.shape)
        # The maximum, [b, i, j, h]; jnp.maximum differentiates by comparing with its own result,
        # which can fail as at `max_over_senders`.
        merged = jnp.where(source > edge, source, edge)
        score, offset = self._score
        scores = jnp.sum(merged * score[:, 0].astype(dtype)[None, None, None], axis=-1)
        return jnp.swapaxes(scores.astype(work), 1, 2) + offset[None, None]


class Step(NamedTuple):
    """The inputs of the decoders from one step of the processor.

    Attributes:
      scalars: Of the input.
      hidden: `[b, n, h]` the state before.
      new_hidden: `[b, n, h]` the state after.
      new_edges: `[b, n, n, h]` the processor's edges.
    """

    scalars: Scalars
    hidden: Array
    new_hidden: Array
    new_edges: Array


class StateDecoder:
    """Logits `[b, states]` of a state of the whole run: A max_j f_j + B g + c."""

    def __init__(self, name: str, hidden_size: int, states: int, encoders: Encoders):
        name = f"algo_0_{name}_dec_linear"
        linears = [Affine(states, name=name) for _ in range(2)]  # in CLRS's order
        self._nodes = linears[0].weights(3 * hidden_size)
        self._graph = encoders.graph.mapped(*linears[1].weights(hidden_size))
        self._features = encoders.nodes

    def __call__(self, step: Step) -> Array:
        """Takes the features of nodes and graph."""
        nodes = self._features.combine(step.scalars.nodes)
        parts = [max_over_senders(part) for part in (nodes, step.hidden, step.new_hidden)]
        w, b = self._nodes
        return (
            jnp.concatenate(parts, axis=-1) @ w + b[None] + self._graph.combine(step.scalars.graph)
        )


class Decoders:
    """The decoders of one algorithm, with CLRS's parameter names.

    Node features are f = [x, h, h'], of the processor's input, old and new hidden state.
    """

    def __init__(self, hidden_size: int, spec: AlgorithmSpec, encoders: Encoders):
        def mask(name: str) -> tuple[Array, Array]:
            return Affine(1, name=f"algo_0_{name}_dec_linear").weights(3 * hidden_size)

        pointers = {name: PointerDecoder(name, hidden_size, encoders) for name in spec.pointers}
        self._hints = _NodeDecoders(encoders, pointers, {name: mask(name) for name in spec.masks})
        pred = PointerDecoder("pred", hidden_size, encoders)
        self._outputs = _NodeDecoders(encoders, {"pred": pred}, {"pred_mask": mask("pred_mask")})
        self._states = {
            name: StateDecoder(name, hidden_size, states, encoders)
            for name, states in spec.categories
        }

    def hints(self, step: Step) -> dict[str, Array]:
        """Logits of the next hints, `[b, ..., choices]`."""
        states = {name: decoder(step) for name, decoder in self._states.items()}
        return {**self._hints(step), **states}

    def outputs(self, step: Step) -> tuple[Array, Array]:
        """Logits of the output pointer `[b, n, n]`, before Sinkhorn, and mask `[b, n]`."""
        logits = self._outputs(step)
        return logits["pred"], logits["pred_mask"]


class _NodeDecoders:
    """Pointers and masks that are decoded together: all maps linear in f are one product."""

    def __init__(
        self,
        encoders: Encoders,
        pointers: Mapping[str, PointerDecoder],
        masks: Mapping[str, tuple[Array, Array]],
    ):
        self._pointers, self._masks = pointers, tuple(masks)
        ends = [end for decoder in pointers.values() for end in decoder.ends]
        self._w, self._b = of_scalars_and_state(encoders.nodes, [*ends, *masks.values()])
        self._ends = [end[1].shape[0] * (i + 1) for i, end in enumerate(ends)]

    def __call__(self, step: Step) -> dict[str, Array]:
        rows = jnp.concatenate([step.scalars.nodes, step.hidden, step.new_hidden], axis=-1)
        decoded = on_rows(lambda rows: matmul_keys(rows, self._w), rows) + self._b[None, None]
        *nodes, marks = jnp.split(decoded, self._ends, axis=-1)
        logits = {
            name: decoder(source, target, step.scalars.edges, step.new_edges)
            for (name, decoder), source, target in zip(
                self._pointers.items(), nodes[::2], nodes[1::2], strict=True
            )
        }
        return {**logits, **{name: marks[..., i] for i, name in enumerate(self._masks)}}


def gumbel_noise(shape: tuple[int, ...]) -> Array:
    """Gumbel noise from Haiku's next key, with CLRS's guards against log(0)."""
    uniform = jax.random.uniform(hk.next_rng_key(), shape)
    return -jnp.log(-jnp.log(uniform + 1e-12) + 1e-12)
