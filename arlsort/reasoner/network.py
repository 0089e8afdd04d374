# SPDX-License-Identifier: Apache-2.0
"""The reasoner: encode, process T - 1 steps with the soft hints fed back, decode.

The same computation and parameter tree as `clrs.models.BaselineModel` with encoded and decoded
hints, soft hints and no teacher forcing. Outputs are decoded once, from each list's own last step,
instead of at every step.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import haiku as hk
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from arlsort.checks import error_message
from arlsort.numerics import finite, meshes
from arlsort.reasoner.config import PLACE, ReasonerConfig
from arlsort.reasoner.decoders import Decoders, Step, gumbel_noise, log_sinkhorn
from arlsort.reasoner.encoders import Encoders
from arlsort.reasoner.hints import comparisons, initial_hints
from arlsort.reasoner.processor import make_processor

Array = jax.Array
Hints = dict[str, Array]
Pick = Callable[[Hints, Array], Hints]


def all_hints(hints: Hints, step: Array) -> Hints:
    """Keeps all hints of a step."""
    return hints


def no_hints(hints: Hints, step: Array) -> Hints:
    """Keeps none."""
    return {}


class Prediction(NamedTuple):
    """The outputs of the reasoner.

    Attributes:
      hints: Logits of each hint after each step, `[T - 1, b, ..., choices]`, or the picked part.
      pred: `[b, n, n]` log weights of each element's cyclic predecessor, after Sinkhorn.
      pred_mask: `[b, n]` logits of being the first element.
      places: `[b, n, n]` logits of each element over its final places; None for a network without
        places.
    """

    hints: Hints
    pred: Array
    pred_mask: Array
    places: Array | None = None


class _State(NamedTuple):
    """The state before a step."""

    hints: Hints  # soft, [b, ..., choices]
    hidden: Array  # [b, n, h]


class _Carry(NamedTuple):
    state: _State
    last: _State | None  # from which each list takes its own last step, where those differ


class Reasoner(hk.Module):
    """The network as a Haiku module; its name is CLRS's, and with it the parameter tree."""

    def __init__(self, config: ReasonerConfig, name: str = "net"):
        super().__init__(name=name)
        self._config = config

    def __call__(
        self,
        keys: Array,
        pos: Array,
        *,
        lengths: Array | None = None,
        num_hints: int | None = None,
        start: Hints | None = None,
        forced: Hints | None = None,
        noise_scales: Array | None = None,
        noise: str | None = None,
        output_noise: Array | None = None,
        remat: str = "none",
        pair_dtype: DTypeLike | None = None,
        pick: Pick = all_hints,
    ) -> Prediction:
        """Runs the sort on `keys` and `pos`, both `[b, n]`.

        Args:
          keys: Scores.
          pos: Increasing positions in [0, 1).
          lengths: `[b]` recorded states of each list; None where all lists take all steps, which
            is a step cheaper.
          num_hints: T; by default the most the algorithm can record for n keys.
          start: The first hints, where they are known; else computed from the keys.
          forced: `[T - 1, b, ..., choices]` hints that each step starts from, instead of the
            predicted ones (teacher forcing).
          noise_scales: `[b, n]` noise scales of the keys, if the configuration has them; by default
            1.
          noise: Law of the perturbation the first hints are averaged over; None for none.
          output_noise: `[b, n, n]` added to the logits of the output pointer before Sinkhorn, as
            CLRS does in training (`clrs_output_noise`).
          remat: What the backward pass recomputes: `"none"`, `"elementwise"` (all but products of
            matrices) or `"all"` (whole steps).
          pair_dtype: Dtype of edge activations `[b, n, n, hidden]`; by default that of the keys, at
            least float32.
          pick: `pick(hints, step)` gives the part of a step's hints `[b, ..., choices]` to
            keep, steps from 0; by default all, which for pointers is n^2 a step.
        """
        config = self._config
        chex.assert_rank(keys, 2)
        chex.assert_equal_shape([keys, pos] if noise_scales is None else [keys, pos, noise_scales])
        dtype = finite.work_dtype(keys)
        pair_dtype = dtype if pair_dtype is None else jnp.dtype(pair_dtype)
        if config.processor == "clrs" and pair_dtype != dtype:
            raise ValueError(
                error_message("pair_dtype", f"{pair_dtype} with processor='clrs'", f"{dtype}")
            )
        keys, pos = keys.astype(dtype), pos.astype(dtype)
        b, n = keys.shape
        num_hints = config.spec.num_hints(n) if num_hints is None else num_hints
        steps = max(1, num_hints - 1)
        if config.noise_scales:
            noise_scales = (
                jnp.ones_like(keys) if noise_scales is None else noise_scales.astype(dtype)
            )
        elif noise_scales is not None:
            raise ValueError(
                error_message("noise_scales", "an array", "None: the network has no such input")
            )
        compared = comparisons(keys, noise) if config.comparisons else None
        encoders, decoders = self._construct_encoders_decoders(dtype)
        process = make_processor(config, encoders, pair_dtype)

        def run(state: _State) -> Step:
            scalars = encoders.scalars(keys, pos, state.hints, noise_scales, compared)
            return Step(scalars, state.hidden, *process(scalars, state.hidden))

        def advance(state: _State) -> tuple[_State, Hints]:
            step = run(state)
            logits = decoders.hints(step)
            soft = {name: jax.nn.softmax(hint, axis=-1) for name, hint in logits.items()}
            return _State(soft, step.new_hidden), logits

        def scan_step(carry: _Carry, at: tuple[Array, Hints | None]) -> tuple[_Carry, Hints]:
            state, last = carry
            i, given = at
            if given is not None:
                state = state._replace(hints=given)
            if lengths is not None:
                running = lengths > i + 1

                def keep(old: Array, new: Array) -> Array:
                    return jnp.where(jnp.expand_dims(running, range(1, new.ndim)), new, old)

                last = jax.tree.map(keep, last, state)
            state, hints = advance(state)
            return _Carry(state, last), pick(hints, i)

        if forced is not None:
            if start is not None:
                raise ValueError(
                    error_message("start", "hints beside forced, which has the first", "None")
                )
            forced = {name: forced[name].astype(dtype) for name in config.spec.hints}
            start = {name: hint[0] for name, hint in forced.items()}
        hints = initial_hints(config.algorithm, keys, noise) if start is None else start
        hints = {name: hints[name].astype(dtype) for name in config.spec.hints}
        hidden = jnp.zeros((b, n, config.hidden_size), dtype)
        first, _ = meshes.vary_alike(_State(hints, hidden), keys)
        if hk.running_init():
            advance(first)  # a loop is no place to make parameters in
        ragged = lengths is not None
        looped = steps if ragged else steps - 1
        end, logits = hk.scan(
            _rematerialised(scan_step, remat),
            _Carry(first, first if ragged else None),
            (jnp.arange(looped), jax.tree.map(lambda hint: hint[:looped], forced)),
        )
        last = end.state if end.last is None else end.last
        if forced is not None and not ragged:
            last = last._replace(hints={name: hint[-1] for name, hint in forced.items()})
        step = run(last)
        end_hints = decoders.hints(step)
        if not ragged:  # the common last step is not in the loop
            tail = pick(end_hints, jnp.asarray(looped))
            logits = {name: jnp.concatenate([logits[name], tail[name][None]]) for name in tail}
        pred, pred_mask = decoders.outputs(step)
        if output_noise is not None:
            pred = pred + output_noise
        pred = log_sinkhorn(pred, config.sinkhorn_steps, config.sinkhorn_temperature)
        return Prediction(logits, pred, pred_mask, end_hints.get(PLACE))

    def _construct_encoders_decoders(self, dtype: DTypeLike) -> tuple[Encoders, Decoders]:
        # Haiku puts the method's name into the parameters' names, so this name is CLRS's.
        size, spec = self._config.hidden_size, self._config.spec
        encoders = Encoders(
            size,
            spec,
            noise_scales=self._config.noise_scales,
            comparisons=self._config.comparisons,
            places=self._config.places,
            dtype=dtype,
        )
        return encoders, Decoders(size, spec, encoders)


def transform(config: ReasonerConfig) -> hk.Transformed:
    """The network as two pure functions, `init(rng, keys, pos)` and `apply(params, rng, ...)`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> net = transform(ReasonerConfig(hidden_size=8))
      >>> keys = jnp.array([[0.3, 0.1, 0.2]])
      >>> pos = jnp.arange(3.0)[None] / 3
      >>> params = net.init(jax.random.key(0), keys, pos)
      >>> net.apply(params, None, keys, pos).pred.shape
      (1, 3, 3)
    """
    return hk.transform(lambda *args, **kwargs: Reasoner(config)(*args, **kwargs))


def _rematerialised(function: Callable, remat: str) -> Callable:
    if remat == "none":
        return function
    policy = {"elementwise": jax.checkpoint_policies.dots_saveable, "all": None}[remat]
    return hk.remat(function, prevent_cse=False, policy=policy)  # a scan needs no such guard


def clrs_output_noise(key: Array, lengths: Array, steps: int, n: int) -> Array:
    """The Gumbel noise `[b, n, n]` that CLRS's training adds to the output pointer's logits.

    CLRS draws it at every step, from the keys that its step consumes. Each list's own last step
    counts.

    Args:
      key: The random key given to `clrs.models.BaselineModel`'s loss.
      lengths: `[b]` recorded states of each list.
      steps: Steps of the longest list.
      n: List length.
    """
    shape = (lengths.shape[0], n, n)

    def draw() -> Array:
        hk.next_rng_key()  # for dropout, even at rate zero
        first = gumbel_noise(shape)

        def later(kept: Array, i: Array) -> tuple[Array, None]:
            hk.next_rng_key()  # for teacher forcing, even at probability zero
            hk.next_rng_key()
            running = (lengths > i + 1)[:, None, None]
            return jnp.where(running, gumbel_noise(shape), kept), None

        return hk.scan(later, first, jnp.arange(1, steps))[0]

    return hk.transform(draw).apply({}, key)
