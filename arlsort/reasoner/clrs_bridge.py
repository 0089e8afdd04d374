# SPDX-License-Identifier: Apache-2.0
"""The one place that touches dm-clrs: its samplers and its model.

Importing this module imports dm-clrs and TensorFlow. `import arlsort` and shipped checkpoints do
not import it.
"""

import contextlib
import itertools
import pathlib
import queue
import threading
from collections.abc import Generator
from typing import Any

import clrs
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from arlsort.reasoner.config import (
    CLRS_FIELDS,
    PLACE,
    ReasonerConfig,
    TrainingConfig,
    algorithm_spec,
)
from arlsort.reasoner.hints import Batch


def feedback(
    algorithm: str, n: int, batch_size: int, seed: int, *, random_pos: bool = True
) -> tuple[Any, Any]:
    """One batch of CLRS's sampler, with its spec, after CLRS's own processing.

    Uniform keys; `clrs.process_random_pos` unless turned off; `clrs.process_permutations`, so
    that the output is a cyclic permutation pointer and a mask of the first element.
    """
    sampler, spec = clrs.build_sampler(
        algorithm, num_samples=-1, length=n, seed=seed, track_max_steps=False
    )
    batches = iter([sampler.next(batch_size)])
    if random_pos:
        batches = clrs.process_random_pos(batches, np.random.RandomState(seed))
    spec, batches = clrs.process_permutations(spec, batches, True)
    with jax.numpy_rank_promotion("allow"):  # CLRS relies on it
        return spec, next(batches)


def to_batch(feedback: Any, num_hints: int | None = None) -> Batch:
    """Converts a batch of CLRS's samplers, after `clrs.process_permutations(..., True)`.

    Args:
      feedback: `clrs.Feedback` of a sort.
      num_hints: Pad the hints to this many states, so that batches share a shape.

    Raises:
      ValueError: if the output is not a permutation pointer with its mask.
    """
    inputs = {
        probe.name: jnp.asarray(probe.data, jnp.float32) for probe in feedback.features.inputs
    }
    outputs = {probe.name: jnp.asarray(probe.data, jnp.float32) for probe in feedback.outputs}
    if "pred_mask" not in outputs:
        raise ValueError(
            "feedback: the output is no permutation pointer; pass the batches through "
            "clrs.process_permutations(spec, batches, True) first"
        )

    def padded(probe: Any) -> np.ndarray:
        missing = max(0, (num_hints or 0) - probe.data.shape[0])
        return np.pad(probe.data, [(0, missing)] + [(0, 0)] * (probe.data.ndim - 1))

    def weights(probe: Any) -> jax.Array:
        data = padded(probe)
        if probe.type_ == clrs.Type.POINTER:
            return jax.nn.one_hot(data.astype(np.int32), inputs["key"].shape[-1])
        return jnp.asarray(data, jnp.float32)

    recorded = {probe.name: padded(probe) for probe in feedback.features.hints}
    lengths = np.asarray(feedback.features.lengths, np.int32)
    place = places_of_predecessors(recorded["pred_h"].astype(np.int32))
    n = place.shape[-1]
    last = place[np.maximum(lengths - 1, 0), np.arange(lengths.size)]
    return Batch(
        keys=inputs["key"],
        pos=inputs["pos"],
        hints={
            **{probe.name: weights(probe) for probe in feedback.features.hints},
            PLACE: jax.nn.one_hot(place, n),
        },
        pred=outputs["pred"],
        pred_mask=outputs["pred_mask"],
        places=jax.nn.one_hot(last, n),
        lengths=jnp.asarray(lengths),
    )


def places_of_predecessors(pred_h: np.ndarray) -> np.ndarray:
    """Place of each element, from CLRS's pointers `[..., n]`; the first's is itself."""
    elements = np.arange(pred_h.shape[-1])
    place = np.zeros_like(pred_h)
    for _ in elements[1:]:
        behind = np.take_along_axis(place, pred_h, axis=-1) + 1
        place = np.where(pred_h == elements, 0, behind)
    return place


def batches(
    algorithm: str, training: TrainingConfig, start: int = 0, *, random_pos: bool = True
) -> Generator[Batch, None, None]:
    """Endless batches of CLRS's samplers, made ahead of time in a thread.

    The batch of step s depends on the seed and s alone, so a resumed run sees the same data.

    Args:
      algorithm: The sort.
      training: Lengths, lists and seed.
      start: The first step.
      random_pos: As of `feedback`.
    """
    ahead: queue.Queue[Batch | Exception] = queue.Queue(maxsize=8)
    stop = threading.Event()

    def make(step: int) -> Batch:
        n = training.length(step)
        seed = int(np.random.SeedSequence([training.seed, step]).generate_state(1)[0])
        _, data = feedback(algorithm, n, training.lists(n), seed, random_pos=random_pos)
        return to_batch(data, algorithm_spec(algorithm).num_hints(n))

    def put(item: Batch | Exception) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                return ahead.put(item, timeout=0.2)

    def produce() -> None:
        try:
            for step in itertools.count(start):
                if stop.is_set():
                    return
                put(make(step))
        except Exception as error:  # raised again where the batch is asked for
            put(error)

    threading.Thread(target=produce, daemon=True).start()
    try:
        while True:
            item = ahead.get()
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        stop.set()


def baseline_model(
    spec: Any, feedback: Any, config: ReasonerConfig, *, folder: str = "", seed: int = 0
) -> Any:
    """`clrs.models.BaselineModel` with the settings that `config` names, initialised.

    Soft hints are fed back, without teacher forcing: CLRS's defaults for the triplet-MPNN.

    Args:
      spec: From `feedback`.
      feedback: From `feedback`.
      config: The network.
      folder: Where the model saves and restores.
      seed: Of its parameters.
    """
    model = clrs.models.BaselineModel(
        spec=spec,
        dummy_trajectory=feedback,
        processor_factory=clrs.get_processor_factory(
            "triplet_mpnn",
            use_ln=config.use_layer_norm,
            nb_triplet_fts=config.nb_triplet_fts,
            nb_heads=1,
        ),
        hidden_dim=config.hidden_size,
        encode_hints=True,
        decode_hints=True,
        hint_teacher_forcing=0.0,
        hint_repred_mode="soft",
        grad_clip_max_norm=TrainingConfig().grad_clip,
        checkpoint_path=folder,
    )
    model.init(feedback.features, seed)  # type: ignore[arg-type]
    return model


def restore_baseline(path: pathlib.Path, algorithm: str, hidden_size: int) -> hk.Params:
    """Parameters of a file written by `BaselineModel.save_model`, read by CLRS itself."""
    if not path.is_file():
        raise FileNotFoundError(2, "no such file", str(path))
    config = ReasonerConfig(algorithm, hidden_size=hidden_size, **CLRS_FIELDS)
    spec, data = feedback(algorithm, 4, 1, 0)
    model = baseline_model(spec, data, config, folder=str(path.parent))
    expected = jax.tree.map(jnp.shape, dict(model.params))
    model.params = {}  # CLRS merges the file into existing parameters
    model.restore_model(path.name)
    found = jax.tree.map(jnp.shape, dict(model.params))
    if found != expected:
        differing = sorted(k for k in {*found, *expected} if found.get(k) != expected.get(k))
        raise ValueError(f"its parameters do not fit, first at {differing[0]}")
    return model.params
