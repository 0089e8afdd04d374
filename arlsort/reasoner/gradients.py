# SPDX-License-Identifier: Apache-2.0
"""The loss of a batch and its gradient: in parts that fit, on one device or several."""

from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from arlsort.reasoner import losses, network
from arlsort.reasoner.config import ReasonerConfig, TrainingConfig
from arlsort.reasoner.hints import Batch

Array = jax.Array
Metrics = dict[str, Array]


def loss_and_metrics(
    params: hk.Params,
    key: Array | None,
    batch: Batch,
    config: ReasonerConfig,
    training: TrainingConfig,
) -> tuple[Array, Metrics]:
    """Total loss of one batch, and metrics.

    `accuracy` is the share of elements whose likeliest predecessor is the target's;
    `divergence` the mean Kullback-Leibler distance in nats of the output pointers from theirs.
    """
    whole = _Whole(batch.keys.shape[0], losses.recorded_steps(batch))
    return _loss_of_part(
        params, _Part(batch, _noise(key, batch, training)), whole, config, training
    )


def gradients(
    params: hk.Params,
    key: Array | None,
    batch: Batch,
    config: ReasonerConfig,
    training: TrainingConfig,
    mesh: Mesh | None = None,
) -> tuple[hk.Params, Metrics]:
    """Gradient of the loss of one batch, and its metrics.

    The lists go through the network in parts of up to `training.pairs_per_pass` pairs of elements,
    and the gradients are summed. Memory is that of a part, which on a CPU fits the cache. With a
    mesh, each device does so with its share of the lists. The parts' losses are shares of the
    batch's, so the sum is exact.
    """
    whole = _Whole(batch.keys.shape[0], losses.recorded_steps(batch))
    part = _Part(batch, _noise(key, batch, training))
    if mesh is None:
        return _gradients_of_part(params, part, whole, config, training)
    part = _padded(part, mesh.size)
    lists = PartitionSpec(mesh.axis_names)
    steps = PartitionSpec(None, mesh.axis_names)

    def on_a_device(params: hk.Params, part: _Part, recorded: Array) -> tuple[hk.Params, Metrics]:
        whole_ = whole._replace(steps=recorded)
        own = _gradients_of_part(params, part, whole_, config, training)
        return jax.lax.psum(own, mesh.axis_names)

    return jax.shard_map(
        on_a_device,
        mesh=mesh,
        in_specs=(
            PartitionSpec(),
            jax.tree.map(lambda axis: steps if axis else lists, _list_axes(part)),
            PartitionSpec(),
        ),
        out_specs=PartitionSpec(),
        check_vma=False,  # else the gradient of what all devices share is summed by itself
    )(params, part, whole.steps)


def _gradients_of_part(
    params: hk.Params,
    part: "_Part",
    whole: "_Whole",
    config: ReasonerConfig,
    training: TrainingConfig,
) -> tuple[hk.Params, Metrics]:
    lists, n = part.batch.keys.shape
    size = training.lists_per_pass(lists, n)
    gradient = jax.grad(_loss_of_part, has_aux=True)
    if size == lists:
        return gradient(params, part, whole, config, training)

    def add(total: tuple[hk.Params, Metrics], part: _Part) -> tuple[tuple, None]:
        return jax.tree.map(jnp.add, total, gradient(params, part, whole, config, training)), None

    full = lists - lists % size
    total, _ = jax.lax.scan(
        add, _zeros(gradient, params, part, whole, config, training), (_cut(part, 0, full, size))
    )
    if full < lists:
        rest = jax.tree.map(lambda leaf: leaf[0], _cut(part, full, lists, lists - full))
        total, _ = add(total, rest)
    return total


def _zeros(gradient: Callable, *arguments: Any) -> Any:
    shapes = jax.eval_shape(lambda: gradient(*arguments))
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


class _Part(NamedTuple):
    """Some lists of a batch, with the noise on their output pointers."""

    batch: Batch
    noise: Array | None


class _Whole(NamedTuple):
    """The denominators of a whole batch's means."""

    lists: int
    steps: Array


def _noise(key: Array | None, batch: Batch, training: TrainingConfig) -> Array | None:
    """CLRS's noise on the output pointers, where the batch is CLRS's and there is a key."""
    if training.hints != "clrs" or key is None:
        return None
    steps = max(1, batch.hints["pred_h"].shape[0] - 1)
    return network.clrs_output_noise(key, batch.lengths, steps, batch.keys.shape[1])


def _list_axes(part: _Part) -> _Part:
    """Which axis of each leaf is that of the lists: the second where the first one is time."""
    axes = {
        name: jax.tree.map(lambda _, name=name: int(name == "hints"), field)
        for name, field in part.batch._asdict().items()
    }
    return _Part(Batch(**axes), jax.tree.map(lambda _: 0, part.noise))


def _cut(part: _Part, start: int, stop: int, size: int) -> _Part:
    """Cuts the lists from start to stop into parts of `size`, on a new leading axis."""

    def cut(leaf: Array, axis: int) -> Array:
        lists = jax.lax.slice_in_dim(leaf, start, stop, axis=axis)
        parts = lists.reshape(*leaf.shape[:axis], -1, size, *leaf.shape[axis + 1 :])
        return jnp.moveaxis(parts, axis, 0)

    return jax.tree.map(cut, part, _list_axes(part))


def _padded(part: _Part, devices: int) -> _Part:
    """Adds lists until all devices have the same number.

    They have no recorded state and zero targets, so they add nothing to losses and metrics.
    """
    missing = -part.batch.keys.shape[0] % devices

    def pad(leaf: Array, axis: int) -> Array:
        return jnp.pad(leaf, [(0, missing if i == axis else 0) for i in range(leaf.ndim)])

    if not missing:
        return part
    padded = jax.tree.map(pad, part, _list_axes(part))
    noise_scales = padded.batch.noise_scales
    if noise_scales is None:
        return padded
    # A scale of zero would divide by it.
    return padded._replace(
        batch=padded.batch._replace(noise_scales=jnp.where(noise_scales > 0, noise_scales, 1.0))
    )


def _loss_of_part(
    params: hk.Params,
    part: _Part,
    whole: _Whole,
    config: ReasonerConfig,
    training: TrainingConfig,
) -> tuple[Array, Metrics]:
    batch = part.batch
    clean = training.hints == "clrs"
    known = batch.hints if training.hints == "sampled" else None
    # Also where the hints of an algorithm of fixed length are padded, as clrs_bridge.to_batch may.
    states = config.spec.num_hints(batch.keys.shape[1])
    num_hints = batch.hints["pred_h"].shape[0]
    ragged = clean and (config.spec.varying_length or num_hints != states)
    prediction = network.transform(config).apply(
        params,
        None,
        batch.keys,
        batch.pos,
        lengths=batch.lengths if ragged else None,
        num_hints=num_hints,
        start={name: hint[0] for name, hint in batch.hints.items()} if clean else None,
        forced=None if known is None else {name: hint[:-1] for name, hint in known.items()},
        noise_scales=batch.noise_scales,
        noise=None if clean else training.noise,
        output_noise=part.noise,
        remat=training.remat,
        pair_dtype=training.pair_dtype,
    )
    outputs = losses.output_losses(batch, prediction, whole.lists)
    hints = losses.hint_losses(batch, prediction, whole.steps)
    weighted = outputs | {
        name: training.place_weight * loss for name, loss in outputs.items() if name == "places"
    }
    total = losses.add_up(weighted) + training.hint_weight * losses.add_up(hints)
    agree = jnp.argmax(prediction.pred, -1) == jnp.argmax(batch.pred, -1)
    agree &= batch.lengths[:, None] > 0  # not where there is no list
    elements = whole.lists * batch.keys.shape[1]
    metrics = {
        "loss": total,
        "accuracy": jnp.sum(agree) / elements,
        "divergence": _divergence(batch.pred, prediction.pred) / elements,
        **outputs,
        **{f"hint_{k}": v for k, v in hints.items()},
    }
    if prediction.places is not None:
        metrics["place_divergence"] = (
            _divergence(batch.places, losses.log_places(prediction)) / elements
        )
    return total, metrics


def _divergence(target: Array, log_weights: Array) -> Array:
    """Kullback-Leibler distance in nats, all rows together."""
    return jnp.sum(jax.scipy.special.xlogy(target, target) - target * log_weights)
