# SPDX-License-Identifier: Apache-2.0
"""The triplet-MPNN processor of CLRS, in a factored form that computes the same numbers.

One step, from node features and hidden state z = [x, h], edge features e and graph features g:
messages m_ij = MLP(relu(W1 z_j + W2 z_i + We e_ij + Wg g)), new state
LN(relu(O1 z_j + O2 max_i m_ij)), and triplet edges
t_jk = relu(O3 max_i(T1 z_i + T2 z_j + T3 z_k + E1 e_ij + E2 e_ik + E3 e_jk + Tg g)).

Here g = 0 for every sort, e is kept as :class:`EdgeFeatures`, and the terms of t_jk that do not
depend on i leave the maximum.

Reference: Ibarz et al., *A Generalist Neural Algorithmic Learner*, LoG 2022.
"""

from typing import Any, Protocol

import haiku as hk
import jax
import jax.numpy as jnp

from arlsort.reasoner.config import ReasonerConfig
from arlsort.reasoner.encoders import Affine, EdgeFeatures

Array = jax.Array


class Processor(Protocol):
    """One message-passing step: new hidden state ``[b, n, h]`` and edges ``[b, n, n, h]``."""

    def __call__(self, nodes: Array, edges: EdgeFeatures, hidden: Array) -> tuple[Array, Array]:
        """Takes node features and hidden state ``[b, n, h]`` and edge features."""


class TripletMPNN(hk.Module):
    """The factored processor, with the parameter tree of CLRS's."""

    def __init__(self, config: ReasonerConfig, name: str = "mpnn_aggr_clrs_processor"):
        super().__init__(name=name)
        self._config = config

    def __call__(self, nodes: Array, edges: EdgeFeatures, hidden: Array) -> tuple[Array, Array]:
        size, triplet = self._config.hidden_size, self._config.nb_triplet_fts
        z = jnp.concatenate([nodes, hidden], axis=-1)  # [b, n, 2h]
        # Built in CLRS's order, so that Haiku gives the parameters CLRS's names.
        m_1, m_2, m_e, m_g, o_1, o_2 = (Affine(size, name="linear") for _ in range(6))
        t_1, t_2, t_3, e_1, e_2, e_3, t_g = (Affine(triplet, name="linear") for _ in range(7))
        o_3 = Affine(size, name="linear")
        zero = jnp.zeros((1, 1, 1, size), z.dtype)  # the graph features of a sort

        triplets = jnp.max(  # max over i; [b, j, k, triplet]
            (t_1(z)[:, :, None] + edges.linear(*e_1.weights(size)))[:, :, :, None]
            + edges.linear(*e_2.weights(size))[:, :, None],
            axis=1,
        )
        triplets += t_2(z)[:, :, None] + t_3(z)[:, None] + t_g(zero)
        triplets += edges.linear(*e_3.weights(size))
        new_edges = jax.nn.relu(o_3(triplets))  # [b, n, n, h]

        messages = m_1(z)[:, None] + m_2(z)[:, :, None] + edges.linear(*m_e.weights(size))
        messages = jax.nn.relu(messages + m_g(zero))
        messages = jnp.max(hk.nets.MLP([size, size])(messages), axis=1)  # [b, n, h]
        new_hidden = jax.nn.relu(o_1(z) + o_2(messages))
        if self._config.use_layer_norm:
            norm = hk.LayerNorm(axis=-1, create_scale=True, create_offset=True)
            new_hidden = norm(new_hidden)
        return new_hidden, new_edges


class CLRSProcessor:
    """The processor that CLRS's own factory builds, behind this library's interface."""

    def __init__(self, config: ReasonerConfig):
        try:
            import clrs  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError(
                'processor="clrs" needs dm-clrs: pip install "arlsort[clrs]"'
            ) from error
        factory: Any = clrs.get_processor_factory(
            "triplet_mpnn",
            use_ln=config.use_layer_norm,
            nb_triplet_fts=config.nb_triplet_fts,
            nb_heads=1,
        )
        self._processor = factory(config.hidden_size)

    def __call__(self, nodes: Array, edges: EdgeFeatures, hidden: Array) -> tuple[Array, Array]:
        batch, n, size = nodes.shape
        adjacency = jnp.ones((batch, n, n))  # an MPNN sends along every edge
        graph = jnp.zeros((batch, size))
        return self._processor(
            nodes, edges.dense(), graph, adjacency, hidden, batch_size=batch, nb_nodes=n
        )


def make_processor(config: ReasonerConfig) -> Processor:
    """Builds the processor that ``config.processor`` names."""
    return TripletMPNN(config) if config.processor == "factored" else CLRSProcessor(config)
