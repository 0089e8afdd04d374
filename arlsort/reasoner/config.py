# SPDX-License-Identifier: Apache-2.0
"""The frozen configurations of a reasoner: its network and its training.

Every number that shapes a forward pass or a training run is a field here, with its source.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

import jax

from arlsort.checks import check_not_negative, check_training, error_message, one_of
from arlsort.numerics.noise import LAWS

NOISES: Final = tuple(LAWS)
HINTS: Final = ("perturbed", "sampled", "clrs")
REMATS: Final = ("none", "elementwise", "all")
PAIR_DTYPES: Final = ("float32", "bfloat16")
AGGREGATORS: Final = ("max", "mean_max")
CPU_PAIRS_PER_PASS: Final = 1024  # docs/research/faster_reasoner.md has the measurement

PLACE: Final = "place_h"
"""The hint of type POINTER from each element to the node of the place where it stands."""

# The types of hints that sorts have, by CLRS's names.
POINTER: Final = "pointer"  # each element points to one element
MASK_ONE: Final = "mask_one"  # one element is marked
CATEGORICAL: Final = "categorical"  # the run as a whole is in one of a few states


@dataclasses.dataclass(frozen=True)
class AlgorithmSpec:
    """The probes that CLRS records of a sort, and the number of steps.

    Attributes:
      name: CLRS's name of the algorithm.
      pointers: Names of the hints of type POINTER. Every sort has `pred_h`, from each element to
        its predecessor; heapsort also `parent`, to its parent in the heap.
      masks: Names of the hints of type MASK_ONE over nodes.
      categories: Names of the hints of type CATEGORICAL over the graph, with their numbers of
        states.
      num_hints: Number of recorded states for n keys, or the most that can occur.
      varying_length: Whether the number of states depends on the keys, not on n alone.
    """

    name: str
    pointers: tuple[str, ...]
    masks: tuple[str, ...]
    num_hints: Callable[[int], int]
    categories: tuple[tuple[str, int], ...] = ()
    varying_length: bool = False

    @property
    def hints(self) -> dict[str, str]:
        """The type of each hint."""
        return {
            **dict.fromkeys(self.pointers, POINTER),
            **dict.fromkeys(self.masks, MASK_ONE),
            **{name: CATEGORICAL for name, _ in self.categories},
        }

    def choices(self, hint: str, n: int) -> int:
        """Number of choices of `hint` in a list of `n`."""
        return dict(self.categories).get(hint, n)


def _heapsort_states(n: int) -> int:
    """One at first, one for each node on a way down, one for each exchange of the largest.

    The way down from node i of a heap of m is at most floor(log2(m / (i + 1))) levels long.
    """
    building = sum((n // (i + 1)).bit_length() for i in range(n))
    return 1 + building + sum(1 + m.bit_length() for m in range(1, n))


ALGORITHMS: Final[Mapping[str, AlgorithmSpec]] = {
    spec.name: spec
    for spec in (
        # Its outer loop only.
        AlgorithmSpec("insertion_sort", ("pred_h",), ("i", "j"), lambda n: max(n, 1)),
        # Every comparison.
        AlgorithmSpec("bubble_sort", ("pred_h",), ("i", "j"), lambda n: n * (n - 1) // 2 + 1),
        # Every comparison and every exchange of a pivot.
        AlgorithmSpec(
            "quicksort",
            ("pred_h",),
            ("p", "r", "i", "j"),
            lambda n: max(n * (n + 1) // 2 - 1, 1),
            varying_length=True,
        ),
        AlgorithmSpec(
            "heapsort",
            ("pred_h", "parent"),
            ("i", "j", "largest", "heap_size"),
            _heapsort_states,
            categories=(("phase", 3),),
            varying_length=True,
        ),
    )
}


def algorithm_spec(algorithm: str) -> AlgorithmSpec:
    """Returns the spec of `algorithm`; raises ValueError naming the known ones."""
    if algorithm not in ALGORITHMS:
        raise ValueError(error_message("algorithm", repr(algorithm), one_of(ALGORITHMS)))
    return ALGORITHMS[algorithm]


@dataclasses.dataclass(frozen=True)
class ReasonerConfig:
    """The network: CLRS's encode-process-decode around a triplet-MPNN.

    Defaults that are CLRS's own (its `run.py` and `decoders.py`): layer norm, 8 triplet
    features, output Sinkhorn of 10 rounds at temperature 0.1, soft hints fed back.

    Attributes:
      algorithm: The sort to execute.
      hidden_size: Width of every hidden feature.
      nb_triplet_fts: Number of triplet features.
      use_layer_norm: Layer norm after each processor step.
      processor: `"factored"` is this library's exact and faster form; `"clrs"` runs the
        processor built by `clrs.get_processor_factory("triplet_mpnn", ...)` on the same
        parameters (needs the `clrs` extra).
      sinkhorn_steps: Rounds of row and column normalisation of the output pointer.
      sinkhorn_temperature: Divides the output pointer's logits before them.
      noise_scales: Whether every key has a noise scale. The network then also sees comparisons of
        keys in units of their scales. CLRS has neither input.
      comparisons: Whether the network sees every comparison of two keys, which CLRS's must compute:
        -1 or 1, and under noise their mean. Networks with noise scales have their own comparisons,
        so there it must be False.
      places: Whether the network has the probe `place_h`: each element points to its place. The
        soft permutation is read from its last step. Keys then enter as `asinh`, so that inputs
        have a moderate size.
      aggregator: How a node aggregates messages: `"max"` as in CLRS, or `"mean_max"`, which puts
        the mean beside the maximum.
    """

    algorithm: str = "insertion_sort"
    hidden_size: int = 64
    nb_triplet_fts: int = 8
    use_layer_norm: bool = True
    processor: str = "factored"
    sinkhorn_steps: int = 10
    sinkhorn_temperature: float = 0.1
    noise_scales: bool = False
    comparisons: bool = True
    places: bool = True
    aggregator: str = "mean_max"

    def __post_init__(self) -> None:
        algorithm_spec(self.algorithm)
        if self.processor not in ("factored", "clrs"):
            raise ValueError(error_message("processor", repr(self.processor), "factored, clrs"))
        if self.aggregator not in AGGREGATORS:
            raise ValueError(
                error_message("aggregator", repr(self.aggregator), one_of(AGGREGATORS))
            )
        if self.processor == "clrs" and self.aggregator != "max":
            received = f"{self.aggregator!r} with processor='clrs'"
            raise ValueError(error_message("aggregator", received, "'max'"))
        if self.processor == "clrs" and self.noise_scales:
            received = "True with processor='clrs'"
            raise ValueError(
                error_message("noise_scales", received, "False, since that has no such input")
            )
        if self.comparisons and self.noise_scales:
            raise ValueError(
                error_message(
                    "comparisons", "True with noise_scales", "False, since those have their own"
                )
            )
        for field in ("hidden_size", "nb_triplet_fts", "sinkhorn_steps"):
            if type(getattr(self, field)) is not int or getattr(self, field) < 1:
                raise ValueError(error_message(field, getattr(self, field), "an int >= 1"))
        if self.sinkhorn_temperature <= 0:
            raise ValueError(
                error_message("sinkhorn_temperature", self.sinkhorn_temperature, "a number > 0")
            )

    @property
    def spec(self) -> AlgorithmSpec:
        """The probes of the network: CLRS's, and places if `places`."""
        spec = ALGORITHMS[self.algorithm]
        return with_places(spec) if self.places else spec


CLRS_FIELDS: Final[Mapping[str, Any]] = {
    "comparisons": False,
    "places": False,
    "aggregator": "max",
}
"""Fields of `ReasonerConfig` that make it CLRS's network."""


@functools.cache
def with_places(spec: AlgorithmSpec) -> AlgorithmSpec:
    """The spec with one more hint: the place of each element."""
    return dataclasses.replace(spec, pointers=(*spec.pointers, PLACE))


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How a reasoner is trained.

    With `hints="perturbed"` (default) each list of scores is copied, every copy gets
    independent unit noise, the sort runs on every copy, and the *mean* trace is the target, so the
    network learns the amortised perturbed sort: temperature is the scale of the scores. With
    `hints="sampled"` there is one copy. The network gets its true hints before each step (teacher
    forcing) and predicts those after it. So it learns the likelihood of each step given those
    before, and of an order. With `hints="clrs"` the batches are those of CLRS's own samplers: clean
    uniform keys, hard traces.

    Attributes:
      lengths: List lengths, visited in turn.
      batch_size: Most lists per step.
      pairs_per_batch: A step takes fewer lists when `lists * n * n` would exceed this, so that
        long lists do not take all the time.
      steps: Optimiser steps.
      learning_rate: Peak of the cosine schedule.
      warmup_steps: Linear warm-up before it.
      grad_clip: Clip of the gradient's global norm.
      ema_decay: Decay of the averaged weights, which are the ones kept.
      hints: `"perturbed"`, `"sampled"` or `"clrs"`.
      noise: Law of the unit noise. Under `"gumbel"` the mean trace is that of a list whose order
        is drawn from the Plackett-Luce distribution of its scores.
      copies: Perturbed copies averaged per list.
      noise_scale_spread: The largest standard deviation, within a list, of the logarithms of its
        keys' noise scales (sampled); 0 for unit noise on all.
      min_spread, max_spread: Scores have a range drawn log-uniformly between these.
      hint_weight: Weight of the hint losses beside the output losses (CLRS uses 1).
      place_weight: Weight of the loss of the last place pointers, which are an output.
      remat: What the backward pass recomputes: `"none"`, `"elementwise"` (all but products of
        matrices) or `"all"` (whole steps).
      pair_dtype: Dtype of edge activations `[b, n, n, hidden]`: `"float32"`, or `"bfloat16"`, which
        halves their memory; gradients then err by percents.
      pairs_per_pass: Lists go through the network in parts of at most this many `lists * n * n`;
        None takes the fastest: 1,024 on a CPU, whose cache holds them, and all elsewhere.
      seed: Of parameters and data.
    """

    lengths: tuple[int, ...] = (2, 3, 4, 5, 7, 8)
    batch_size: int = 64
    pairs_per_batch: int = 2048
    steps: int = 6000
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    grad_clip: float = 1.0
    ema_decay: float = 0.998
    hints: str = "perturbed"
    noise: str = "gaussian"
    copies: int = 16
    noise_scale_spread: float = 0.0
    min_spread: float = 0.5
    max_spread: float = 4000.0
    hint_weight: float = 1.0
    place_weight: float = 2.0
    remat: str = "none"
    pair_dtype: str = "float32"
    pairs_per_pass: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "lengths", tuple(self.lengths))  # a list could not be hashed
        if self.hints not in HINTS:
            raise ValueError(error_message("hints", repr(self.hints), one_of(HINTS)))
        if self.noise_scale_spread and self.hints != "sampled":
            raise ValueError(
                error_message(
                    "noise_scale_spread",
                    f"{self.noise_scale_spread} with hints={self.hints!r}",
                    "0",
                )
            )
        if self.noise not in NOISES:
            raise ValueError(error_message("noise", repr(self.noise), one_of(NOISES)))
        check_training(self)
        for field, allowed in (("remat", REMATS), ("pair_dtype", PAIR_DTYPES)):
            if getattr(self, field) not in allowed:
                raise ValueError(error_message(field, repr(getattr(self, field)), one_of(allowed)))
        counts = ["batch_size", "pairs_per_batch", "steps", "copies"]
        counts += [] if self.pairs_per_pass is None else ["pairs_per_pass"]
        for field in counts:
            value = getattr(self, field)
            if type(value) is not int or value < 1:
                raise ValueError(error_message(field, value, "an int >= 1"))
        for field in ("hint_weight", "place_weight"):
            check_not_negative(field, getattr(self, field))

    def length(self, step: int) -> int:
        """Length of the lists of a step, counted from 0."""
        return self.lengths[step % len(self.lengths)]

    def lists(self, n: int) -> int:
        """Number of lists of length `n` in a step."""
        return max(1, min(self.batch_size, self.pairs_per_batch // (n * n)))

    def lists_per_pass(self, lists: int, n: int) -> int:
        """Number of lists that go through the network at a time."""
        pairs = self.pairs_per_pass
        if pairs is None:
            pairs = CPU_PAIRS_PER_PASS if jax.default_backend() == "cpu" else lists * n * n
        return max(1, min(lists, pairs // (n * n)))


def from_dict(cls: type, fields: Mapping[str, Any]) -> Any:
    """Builds a configuration from a JSON object, turning its lists into tuples."""
    known = {field.name for field in dataclasses.fields(cls)}
    unknown = sorted(set(fields) - known)
    if unknown:
        raise ValueError(
            error_message(cls.__name__, f"unknown fields {one_of(unknown)}", one_of(sorted(known)))
        )
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
