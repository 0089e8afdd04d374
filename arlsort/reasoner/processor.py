# SPDX-License-Identifier: Apache-2.0
"""The triplet-MPNN processor of CLRS, in a factored form that computes the same numbers.

One step, from node features and hidden state z = [x, h], edge features e and graph features g:
messages m_ij = MLP(relu(W1 z_j + W2 z_i + We e_ij + Wg g)), new state
LN(relu(O1 z_j + O2 max_i m_ij)), and triplet edges
t_jk = relu(O3 max_i(T1 z_i + T2 z_j + T3 z_k + E1 e_ij + E2 e_ik + E3 e_jk + Tg g)).

x and e are factored (`arlsort.reasoner.encoders`), so their maps cost hardly anything. g is 0
except in heapsort. All maps linear in h are one product. Terms of t_jk that do not depend on i
leave the maximum. The remaining products on pairs of nodes are the two layers of the MLP and the
narrow O3.

Reference: Ibarz et al., *A Generalist Neural Algorithmic Learner*, LoG 2022.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from arlsort.reasoner.config import ReasonerConfig
from arlsort.reasoner.encoders import Affine, Basis, Encoders, Scalars, matmul_keys

Array = jax.Array

Processor = Callable[[Scalars, Array], tuple[Array, Array]]
"""One message-passing step: of scalars and the hidden state `[b, n, h]`, the new hidden state
`[b, n, h]` and edges `[b, n, n, h]`."""


def on_rows(function: Callable[[Array], Array], x: Array) -> Array:
    """Applies a map of `[rows, k]` to `[..., k]`, since XLA is fastest on plain matrices."""
    rows = function(x.reshape(-1, x.shape[-1]))
    return rows.reshape(*x.shape[:-1], rows.shape[-1])


@jax.custom_jvp
def max_over_senders(x: Array) -> Array:
    """Maximum over axis 1 of `[b, n, ...]`; at a tie the derivative is that of the first.

    `jnp.max` differentiates by asking which elements equal the maximum. XLA may compute the
    elements twice with different last bits, and then the gradient is lost. Here a reduction gives
    the index, and only that is kept. NaN is not looked for.
    """
    return jnp.max(x, axis=1)


@max_over_senders.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    value, index = _first_largest(*primals)
    return value, _pick(index, *tangents)


# Up to here a reduction is as fast as a loop on a CPU; at n = 128 it takes 30 times as long.
_SHORT = 16


@jax.custom_jvp
def max_of_sums(ij: Array, ik: Array) -> Array:
    """`max_i(ij[:, i, :, None] + ik[:, i, None])`, as `max_over_senders` of the sum.

    Args:
      ij: `[b, n, n, t]`.
      ik: `[b, n, n, t]`.

    Returns:
      `[b, j, k, t]`.
    """
    if ij.shape[1] <= _SHORT:
        return _largest(_sums(ij, ik), -jnp.inf)
    one, other = jnp.moveaxis(ij, 1, 0), jnp.moveaxis(ik, 1, 0)

    def larger(best: Array, row: tuple[Array, Array]) -> tuple[Array, None]:
        return jnp.maximum(best, row[0][:, :, None] + row[1][:, None]), None

    first = one[0][:, :, None] + other[0][:, None]
    return jax.lax.scan(larger, first, (one[1:], other[1:]))[0]


def _sums(ij: Array, ik: Array) -> Array:
    """The sums whose maximum `max_of_sums` takes."""
    return ij[:, :, :, None] + ik[:, :, None]


def _largest(x: Array, lowest: float) -> Array:
    """Maximum over axis 1 of values that are at least `lowest`.

    XLA's CPU backend has kernels of its own for `jnp.max`, and they are slow on a sum that is
    broadcast. What is spelled as a choice it compiles to a loop, with vector instructions.
    """

    def larger(a: Array, b: Array) -> Array:
        return jnp.where(a > b, a, b)

    return jax.lax.reduce(x, jnp.array(lowest, x.dtype), larger, (1,))


@max_of_sums.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    value, index = _first_largest_sum(*primals)
    return value, _pick_sum(index, *tangents)


@jax.custom_jvp
def _first_largest(x: Array) -> tuple[Array, Array]:
    """Maximum over axis 1 and where it is; `jnp.argmax` is slower."""
    if x.shape[1] <= _SHORT:
        return max_over_senders(x), _first_of_few(x)

    def larger(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
        keep = (a[0] > b[0]) | ((a[0] == b[0]) & (a[1] < b[1]))
        return jnp.where(keep, a[0], b[0]), jnp.where(keep, a[1], b[1])

    start = (jnp.array(-jnp.inf, x.dtype), jnp.array(x.shape[1], jnp.int32))
    return jax.lax.reduce((x, _senders(x)), start, larger, (1,))


@jax.custom_jvp
def _first_largest_sum(ij: Array, ik: Array) -> tuple[Array, Array]:
    """As `_first_largest` of the sum in `max_of_sums`.

    Two reductions or a loop, because XLA's reduction to a value and its index uses no vector
    instructions on a CPU.
    """
    if ij.shape[1] <= _SHORT:
        return max_of_sums(ij, ik), _first_of_few(_sums(ij, ik))

    def larger(best: tuple[Array, Array], row: tuple[Array, Array, Array]) -> tuple[tuple, None]:
        i, one, other = row
        x = one[:, :, None] + other[:, None]
        return (jnp.maximum(best[0], x), jnp.where(x > best[0], i, best[1])), None

    start = (jnp.full_like(ij, -jnp.inf), jnp.zeros_like(ij, jnp.int32))
    indices = jnp.arange(ij.shape[1], dtype=jnp.int32)
    rows = (indices, jnp.moveaxis(ij, 1, 0), jnp.moveaxis(ik, 1, 0))
    return jax.lax.scan(larger, start, rows)[0]


def _first_of_few(x: Array) -> Array:
    """Where axis 1 of `x`, at most 16 long, has its maximum.

    The last four bits of each float32 give way to its index, so that one maximum finds the index:
    elements that differ in those bits alone count as equal, and -0.0 as less than 0.0. Shorter
    floats have bits to spare.
    """
    wide = x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x
    bits = jnp.finfo(wide.dtype).bits
    integer, limits = jnp.dtype(f"int{bits}"), jnp.iinfo(f"int{bits}")
    mask = jnp.array(_SHORT - 1, integer)
    whole = jax.lax.bitcast_convert_type(wide, integer)
    # In the order of the floats: all bits of a negative one but the sign are flipped.
    ordered = whole ^ ((whole >> (bits - 1)) & limits.max)
    # In a loop XLA computes once what does not change, here as many indices as elements, and each
    # step would read them. Behind a barrier with what does change, they are counted on the way.
    changing = wide[(slice(1),) * wide.ndim]
    senders, _ = jax.lax.optimization_barrier((jnp.arange(x.shape[1], dtype=integer), changing))
    tagged = (ordered | mask) ^ jnp.expand_dims(senders, (0, *range(2, x.ndim)))
    return ((_largest(tagged, limits.min) & mask) ^ mask).astype(jnp.int8)


@_first_largest.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple, tuple]:
    value, index = _first_largest(*primals)
    return (value, index), (_pick(index, *tangents), _no_tangent(index))


@_first_largest_sum.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[tuple, tuple]:
    value, index = _first_largest_sum(*primals)
    return (value, index), (_pick_sum(index, *tangents), _no_tangent(index))


def _no_tangent(index: Array) -> np.ndarray:
    return np.zeros(index.shape, jax.dtypes.float0)


def _senders(x: Array, dtype: DTypeLike = jnp.int32) -> Array:
    return jax.lax.broadcasted_iota(dtype, x.shape, 1)


# Computed again in the backward pass, so that what is kept for it is the index and not where it is.
# (The guard against common subexpressions is not needed inside a loop.)
_recomputed = functools.partial(jax.checkpoint, prevent_cse=False)


@_recomputed
def _pick(index: Array, x: Array) -> Array:
    """The elements of `x` `[b, n, ...]` at `index` `[b, ...]` of axis 1."""
    senders = _senders(x, index.dtype)
    return jnp.sum(jnp.where(senders == index[:, None], x, 0), axis=1)


@_recomputed
def _pick_sum(index: Array, ij: Array, ik: Array) -> Array:
    """The elements of `ij[:, :, :, None] + ik[:, :, None]` at `index` of axis 1."""
    if ij.shape[1] <= _SHORT:
        return _pick_few(index, ij, 2) + _pick_few(index, ik, 1)

    def add(total: Array, row: tuple[Array, Array, Array]) -> tuple[Array, None]:
        i, one, other = row
        return total + jnp.where(index == i, one[:, :, None] + other[:, None], 0), None

    rows = (
        jnp.arange(ij.shape[1], dtype=jnp.int32),
        jnp.moveaxis(ij, 1, 0),
        jnp.moveaxis(ik, 1, 0),
    )
    return jax.lax.scan(add, jnp.zeros_like(index, ij.dtype), rows)[0]


def _pick_few(index: Array, x: Array, axis: int) -> Array:
    """Elements of `x`, broadcast along `axis`, at `index` of axis 1, for few senders.

    Slice by slice, so that the transpose is a sum of slices, which is one kernel.

    Args:
      index: `[b, n, n, t]`.
      x: `[b, n, n, t]`.
      axis: Of `index`, 1 or 2.
    """
    index = jax.lax.optimization_barrier(index)  # else read from all steps' at each comparison
    senders = _senders(x, index.dtype)

    def at(i: int) -> Array:
        chosen = jax.lax.index_in_dim(index, i, axis, keepdims=False)
        return jnp.sum(jnp.where(senders == chosen[:, None], x, 0), axis=1)

    return jnp.stack([at(i) for i in range(index.shape[axis])], axis=axis)


class _MLP(hk.Module):
    """The two layers of the message MLP, under the names of `hk.nets.MLP`."""

    def __init__(self, size: int, name: str = "mlp"):
        super().__init__(name=name)
        self.layers = [Affine(size, name=f"linear_{i}") for i in range(2)]


class TripletMPNN(hk.Module):
    """The factored processor, with the parameter tree of CLRS's; calling it gives the step."""

    def __init__(
        self,
        config: ReasonerConfig,
        encoders: Encoders,
        pair_dtype: DTypeLike,
        name: str = "mpnn_aggr_clrs_processor",
    ):
        super().__init__(name=name)
        self._config = config
        self._encoders = encoders
        self._dtype = pair_dtype

    def __call__(self) -> Processor:
        size, triplet = self._config.hidden_size, self._config.nb_triplet_fts
        # Built in CLRS's order, so that Haiku gives the parameters CLRS's names.
        m_1, m_2, m_e, g_1, o_1, o_2 = (Affine(size, name="linear") for _ in range(6))
        t_1, t_2, t_3, e_1, e_2, e_3, g_2 = (Affine(triplet, name="linear") for _ in range(7))
        o_3 = Affine(size, name="linear")
        layers = [linear.weights(size) for linear in _MLP(size).layers]
        norm: Callable[[Array], Array] = lambda x: x  # noqa: E731
        if self._config.use_layer_norm:
            norm = hk.LayerNorm(axis=-1, create_scale=True, create_offset=True)

        # All that is linear in the state, as one product: [scalars, h] @ w + b.
        by_state = [linear.weights(2 * size) for linear in (m_1, m_2, o_1, t_1, t_2, t_3)]
        w_state, b_state = of_scalars_and_state(self._encoders.nodes, by_state)
        ends = [size, 2 * size, 3 * size, 3 * size + triplet, 3 * size + 2 * triplet]
        message_edges = self._encoders.edges.mapped(*m_e.weights(size))
        ij_edges, ik_edges, jk_edges = (
            self._encoders.edges.mapped(*linear.weights(size)) for linear in (e_1, e_2, e_3)
        )
        triplet_bias = ij_edges.bias + ik_edges.bias + jk_edges.bias
        by_graph = [self._encoders.graph.mapped(*linear.weights(size)) for linear in (g_1, g_2)]
        with_mean = self._config.aggregator == "mean_max"
        w_o2, b_o2 = o_2.weights(2 * size if with_mean else size)
        w_o3, b_o3 = o_3.weights(triplet)
        dtype = self._dtype

        def process(scalars: Scalars, hidden: Array) -> tuple[Array, Array]:
            rows = jnp.concatenate([scalars.nodes, hidden], axis=-1)
            state = on_rows(lambda rows: matmul_keys(rows, w_state), rows) + b_state[None, None]
            m_j, m_i, o_j, t_i, t_j, t_k = jnp.split(state, ends, axis=-1)
            m_g, t_g = (basis.combine(scalars.graph) for basis in by_graph)  # [b, h], [b, triplet]

            m_i = m_i + (message_edges.bias[None] + m_g)[:, None]
            messages = m_j.astype(dtype)[:, None] + m_i.astype(dtype)[:, :, None]
            varying = message_edges.varying(scalars.edges)
            messages = jax.nn.relu(messages + varying.astype(dtype))

            def mlp(rows: Array) -> Array:
                for i, (w, b) in enumerate(layers):
                    rows = (jax.nn.relu(rows) if i else rows) @ w.astype(dtype)
                    rows = rows + b.astype(dtype)[None]
                return rows

            messages = on_rows(mlp, messages)
            received = max_over_senders(messages).astype(hidden.dtype)  # [b, n, h]
            if with_mean:
                mean = jnp.mean(messages, axis=1).astype(hidden.dtype)
                received = jnp.concatenate([received, mean], axis=-1)
            sent = on_rows(lambda rows: rows @ w_o2, received) + b_o2[None, None]
            new_hidden = norm(jax.nn.relu(o_j + sent))

            ij = t_i[:, :, None] + ij_edges.varying(scalars.edges)
            ik = ik_edges.varying(scalars.edges)
            # Behind barriers the maximum is a kernel of its own: the sums before it would be
            # computed once for each pair, and with what follows it no vectors would be used.
            ij, ik = jax.lax.optimization_barrier((ij, ik))
            triplets = jax.lax.optimization_barrier(max_of_sums(ij, ik))  # [b, j, k, triplet]
            t_j = t_j + (triplet_bias[None] + t_g)[:, None]
            triplets += t_j[:, :, None] + t_k[:, None]
            triplets += jk_edges.varying(scalars.edges)
            new_edges = on_rows(
                lambda rows: jax.nn.relu(rows @ w_o3.astype(dtype) + b_o3.astype(dtype)[None]),
                triplets.astype(dtype),
            )
            return new_hidden, new_edges  # [b, n, h], [b, n, n, h]

        return process


def of_scalars_and_state(
    nodes: Basis, linears: Sequence[tuple[Array, Array]]
) -> tuple[Array, Array]:
    """Weights that map `[scalars, states]` as `linears` map `[features, states]`.

    Args:
      nodes: Basis of the node features.
      linears: Weights `[h + states, out]` and biases `[out]`.

    Returns:
      `[k + states, sum of out]` and `[sum of out]`.
    """
    size = nodes.bias.shape[0]
    w = jnp.concatenate([w for w, _ in linears], axis=1)
    b = jnp.concatenate([b for _, b in linears])
    vectors, bias = nodes.mapped(w[:size], b)
    return jnp.concatenate([vectors, w[size:]]), bias


class CLRSProcessor:
    """The processor that CLRS's own factory builds, behind this library's interface."""

    def __init__(self, config: ReasonerConfig, encoders: Encoders):
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
        self._encoders = encoders

    def __call__(self, scalars: Scalars, hidden: Array) -> tuple[Array, Array]:
        nodes, edges, graph = self._encoders.nodes, self._encoders.edges, self._encoders.graph
        batch, n, _ = hidden.shape
        adjacency = jnp.ones((batch, n, n), hidden.dtype)  # an MPNN sends along every edge
        return self._processor(
            nodes.combine(scalars.nodes),
            edges.varying(scalars.edges) + edges.bias[None, None, None],
            graph.combine(scalars.graph),
            adjacency,
            hidden,
            batch_size=batch,
            nb_nodes=n,
        )


def make_processor(config: ReasonerConfig, encoders: Encoders, pair_dtype: DTypeLike) -> Processor:
    """Builds the processor that `config.processor` names.

    Args:
      config: The reasoner.
      encoders: The features of its scalars.
      pair_dtype: Dtype of edge activations `[b, n, n, hidden]`, in the factored form.
    """
    if config.processor == "factored":
        return TripletMPNN(config, encoders, pair_dtype)()
    return CLRSProcessor(config, encoders)
