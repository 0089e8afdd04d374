# SPDX-License-Identifier: Apache-2.0
"""LearnedSort: a graph network that has learned to execute a sorting algorithm."""

import dataclasses
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.numerics import finite, meshes, orders, prefixes
from arlsort.operators import base, checkpointed, hyperparameters
from arlsort.reasoner import checkpoint as checkpoints
from arlsort.reasoner import inference, network, scale
from arlsort.reasoner.config import ALGORITHMS, NOISES
from arlsort.reasoner.readout import MAX_POWER


class LogTrace(NamedTuple):
    """The outputs of a reasoner after each step of its sort, as log weights.

    Attributes:
      log_hints: Each hint, `[..., T - 1, choices]`, or `[..., T - 1, n, choices]` if each element
        chooses.
      log_predecessor: `[..., n, n]`, row j the weights of j's predecessor; that of the first
        element is the last.
      log_first: `[..., n]`, the weights of being first.
    """

    log_hints: dict[str, jax.Array]
    log_predecessor: jax.Array
    log_first: jax.Array


@base.register
@dataclasses.dataclass(frozen=True)
class LearnedSort(checkpointed.Checkpointed):
    """The trace of a textbook sort, averaged over noise, as a trained network predicts it.

    A triplet-MPNN was trained on `E[trace(x + z)]`, the trace of the algorithm averaged over unit
    noise z on every key. After every step each element points to the place where it stands. The
    mean of the last of these pointers is the mean permutation, `E[P(x + z)]`. P is its prediction
    by the network, balanced to be doubly stochastic. The temperature scales the scores: noise of
    standard deviation `temperature` on scores of range R is unit noise on scores of range
    `R / temperature`. (With a checkpoint trained without places P is a guess from predecessor
    pointers.)

    Scores become keys in one of two ways. With `normalize=True` each list is first mapped affinely
    to range 1, so the result does not depend on the scale or offset of `x`, and the temperature is
    a fraction of the list's range. With `normalize=False` only the mean is subtracted, and the
    temperature is in the unit of `x`: for training a network, which then learns its own scale.

    The checkpoint's card has a measured sharpest spread. Wider spreads and lower temperatures are
    scaled back to it. Below it the pointers are raised to a power up to 16 instead, which is what
    `temperature=0` means.

    Rows of P sum to one, columns nearly. The network also sees where each key stands, so P is only
    nearly equivariant. Gradients at scores beyond 1e30, and at infinities, overflow; values and
    weights do not.

    Attributes:
      algorithm: `"insertion_sort"`, `"bubble_sort"` or `"quicksort"`; with a checkpoint of your own
        also `"heapsort"`.
      temperature: Standard deviation of the noise; >= 0.
      normalize: Whether to map each list to range 1 first.
      allow_extrapolation: Whether to accept lists longer than the checkpoint was validated for.
      noise: Law of the unit noise: `"gaussian"` with standard deviation 1, or for insertion sort
        `"cauchy"` with scale 1. Its heavy tails give gradients to pairs far apart: for training a
        network. None takes `"gaussian"`, or what a checkpoint of your own was trained with.
      checkpoint: A `.safetensors` file of your own training, read once; by default the shipped one.

    Raises:
      ValueError: If a hyperparameter is out of range, or (when called) a list is too long.
      arlsort.weight_files.CheckpointError: If the checkpoint is missing or damaged.

    Example:
      >>> import jax.numpy as jnp
      >>> print(LearnedSort(temperature=0.0).sort(jnp.array([3.0, 1.0, 2.0])).round(1))
      [1. 2. 3.]

    References:
      Veličković et al., The CLRS Algorithmic Reasoning Benchmark, ICML 2022; Ibarz et al., A
      Generalist Neural Algorithmic Learner, LoG 2022; Berthet et al., Learning with Differentiable
      Perturbed Optimizers, NeurIPS 2020.
    """

    algorithm: str = dataclasses.field(default="insertion_sort", metadata=base.STATIC)
    temperature: ArrayLike = 0.1
    normalize: bool = dataclasses.field(default=True, metadata=base.STATIC)
    allow_extrapolation: bool = dataclasses.field(default=False, metadata=base.STATIC)
    noise: str | None = dataclasses.field(default=None, metadata=base.STATIC)
    checkpoint: str | None = dataclasses.field(default=None, metadata=base.STATIC)

    equivariant = False

    def __post_init__(self) -> None:
        own = self.checkpoint is not None
        allowed = tuple(ALGORITHMS if own else checkpoints.SHIPPED)
        checks.check_choice("algorithm", self.algorithm, allowed)
        if self.noise is not None:
            noises = NOISES if own else checkpoints.SHIPPED[self.algorithm]
            checks.check_choice("noise", self.noise, noises)
        super().__post_init__()

    @property
    def has_likelihood(self) -> bool:
        """Whether there is a network for `log_likelihood`."""
        if self.checkpoint is not None:
            model = checkpoints.load_once(self.checkpoint)
            return model.training.hints == "sampled" and self.algorithm == "insertion_sort"
        noises = checkpoints.SHIPPED_LIKELIHOODS.get(self.algorithm, ())
        return bool(noises) and self.noise in (None, *noises)

    def log_pointers(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The soft output pointers of the reasoner, in logs, for the pointer likelihood.

        Args:
          x: Scores `[..., n]`, floating, n >= 2.

        Returns:
          `log_pred[..., n, n]`, row j the log weights of j's predecessor (the first element's is
          the last: the order is a cycle), and `log_first[..., n]`, the log weights of being first.
          A list with a NaN gives NaN.

        Raises:
          TypeError: If `x` is not a floating array.
          ValueError: If `x` is a scalar, has fewer than two scores, or is too long.
        """
        return _log_trace(self, self._check_pointers(x))[1:]

    def _check_pointers(self, x: jax.Array) -> jax.Array:
        x = self._check(x, weights=True)
        if x.shape[-1] < 2:
            raise ValueError(
                checks.error_message("x", f"shape {x.shape}", "2 or more scores in a list")
            )
        return x

    def log_trace(self, x: jax.Array) -> LogTrace:
        """The outputs of the reasoner after each step, in logs.

        Args:
          x: Scores `[..., n]`, floating, n >= 2.

        Returns:
          The hints of all steps, and the output pointers of `log_pointers`. A list with a NaN
          gives NaN.

        Raises:
          TypeError: If `x` is not a floating array.
          ValueError: If `x` is a scalar, has fewer than two scores, or is too long.

        Example:
          >>> import jax.numpy as jnp
          >>> said = LearnedSort().log_trace(jnp.array([3.0, 1.0, 2.0]))
          >>> {name: hint.shape for name, hint in said.log_hints.items()}
          {'i': (2, 3), 'j': (2, 3), 'place_h': (2, 3, 3), 'pred_h': (2, 3, 3)}
        """
        return _log_trace(self, self._check_pointers(x))

    def log_likelihood(
        self,
        x: jax.Array,
        order: jax.Array,
        noise_scales: jax.Array | None = None,
        *,
        where: jax.Array | None = None,
    ) -> jax.Array:
        """How likely an order is under noise: a loss for where only the order is known.

        Insertion sort inserts one element after the other among those before it, so an order is the
        place of each insertion. The network is led along the given order (teacher forcing). At each
        step it predicts how likely noise on the scores puts the next element there, given the steps
        so far. By the chain rule the logarithms sum to that of the whole order. This is a separate
        network, trained on single noisy runs (`hints="sampled"`) instead of their mean. The shipped
        one has Cauchy noise, which `noise=None` means here. It has seen orders as the noise makes
        them. For an order with errors of some twenty units of noise or more the value is low, but
        the gradient need not point the right way. Lists beyond the sharpest spread of its card are
        scaled back to it. `AmortizedSort.log_likelihood` is many times faster, and nearer.

        Args:
          x: Scores `[..., n]`, floating.
          order: `[..., n]` ints; the elements in ascending order, as `argsort` gives it.
          noise_scales: `[..., n]`, > 0; the noise of each score in units of the temperature. None
            for 1. A network trained with it can say how sure it is of each score.
          where: Mask of the items, `[..., n]`; None for all. Masked elements of the order are
            passed over. The network is run at every length up to n.

        Returns:
          `[...]`, of the dtype of `x`; NaN for a list with a NaN, and for one whose order or noise
          scales are traced and not allowed.

        Raises:
          TypeError: If an argument has the wrong type or dtype.
          ValueError: If shapes differ, `order` is no permutation, a noise scale is not positive and
            finite, a list is too long, or no network fits: the shipped one is for insertion sort
            and Cauchy noise.

        Example:
          >>> import jax.numpy as jnp
          >>> operator = LearnedSort(noise="cauchy", normalize=False, temperature=0.1)
          >>> right, wrong = jnp.array([1, 2, 0]), jnp.array([0, 1, 2])
          >>> x = jnp.array([3.0, 1.0, 2.0])
          >>> bool(operator.log_likelihood(x, right) > operator.log_likelihood(x, wrong))
          True
        """
        x, order, noise_scales, mask = orders.check(x, order, noise_scales, where)
        self._check_hyperparameters()
        self._validate_length(x.shape[-1], likelihood=True)
        return checkpointed.log_likelihood(self, x, order, noise_scales, mask)

    def _log_likelihood(
        self,
        scores: jax.Array,
        order: jax.Array,
        noise_scales: jax.Array | None,
        count: jax.Array | None,
    ) -> jax.Array:
        if count is not None:
            lists = (scores, order) if noise_scales is None else (scores, order, noise_scales)
            return prefixes.by_length(
                lambda *lists: self._log_likelihood(*lists, *(None,) * (4 - len(lists))),
                count,
                *lists,
                axes=0,
            )
        model = self._checkpoint(likelihood=True)
        n = scores.shape[-1]
        if n < 2:
            return jnp.zeros(scores.shape[:-1], scores.dtype)
        middle = None
        if noise_scales is not None:
            logs = jnp.log(noise_scales)
            middle = jnp.mean(logs, axis=-1, keepdims=True)
            noise_scales = jnp.exp(logs - middle).reshape(-1, n)
        keys = self._keys(scores, model, middle).reshape(-1, n)
        found = inference.log_likelihood(
            model.params, model.config, keys, order.reshape(-1, n), noise_scales, model.noise
        )
        return found.reshape(scores.shape[:-1])

    def _permutation(self, scores: jax.Array) -> jax.Array:
        said = self._predict(scores, network.no_hints)
        found = inference.read(said, self._power(scores).reshape(-1, 1))
        return found.reshape(*scores.shape, scores.shape[-1])

    def _predict(self, scores: jax.Array, pick: network.Pick) -> network.Prediction:
        """The predictions of the network for lists `[..., n]`, as lists `[b, n]`."""
        model = self._checkpoint()
        keys = self._keys(scores, model)
        keys = keys.reshape(-1, keys.shape[-1])
        return inference.predict(model.params, model.config, keys, model.noise, pick)

    def _trace(self, scores: jax.Array) -> LogTrace:
        said = self._predict(scores, network.all_hints)
        hints = {
            name: jax.nn.log_softmax(jnp.moveaxis(hint, 0, 1), axis=-1)
            for name, hint in said.hints.items()
        }
        parts = LogTrace(hints, said.pred, jax.nn.log_softmax(said.pred_mask, axis=-1))
        return jax.tree.map(lambda part: part.reshape(*scores.shape[:-1], *part.shape[1:]), parts)

    def _keys(
        self,
        scores: jax.Array,
        model: checkpoints.Checkpoint,
        log_noise_scale: jax.Array | None = None,
    ) -> jax.Array:
        """Scores at the scale the network was trained for, `[..., n]`.

        The logarithm of a noise scale `[..., 1]` scales the temperature of each list.
        """
        if model.noise is None:  # trained on clean keys in [0, 1], which have no scale
            if not self.normalize:
                received = "False with a checkpoint trained on clean keys"
                raise ValueError(checks.error_message("normalize", received, "True"))
            return scale.clean_keys(scores)
        return scale.keys(
            scores,
            jnp.asarray(self.temperature, scores.dtype),
            normalize=self.normalize,
            sharpest_spread=model.sharpest_spread,
            log_noise_scale=log_noise_scale,
        )

    def _power(self, scores: jax.Array) -> jax.Array:
        """How far the temperature is below the coldest, as a power of the pointers, 1 to 16."""
        temperature = jnp.asarray(self.temperature, scores.dtype)
        relative = scale.relative_temperature(scores, temperature, self.normalize)
        return scale.power_below(relative, self._checkpoint().sharpest_spread, MAX_POWER)

    def _checkpoint(self, likelihood: bool = False) -> checkpoints.Checkpoint:
        if self.checkpoint is None:
            return checkpoints.shipped(self.algorithm, self.noise, likelihood=likelihood)
        model = checkpoints.load_once(self.checkpoint)
        if likelihood and self.algorithm != "insertion_sort":
            raise ValueError(
                checks.error_message("algorithm", repr(self.algorithm), "'insertion_sort'")
            )
        if likelihood and model.training.hints != "sampled":
            received = f"one trained with hints={model.training.hints!r}"
            raise ValueError(
                checks.error_message("checkpoint", received, "one trained with 'sampled'")
            )
        if model.config.algorithm != self.algorithm:
            received = f"{self.algorithm!r} with a checkpoint trained on {model.config.algorithm!r}"
            raise ValueError(
                checks.error_message("algorithm", received, repr(model.config.algorithm))
            )
        if self.noise not in (None, model.noise):
            received = f"{self.noise!r} with a checkpoint trained with {model.noise or 'no noise'}"
            raise ValueError(checks.error_message("noise", received, f"{model.noise!r} or None"))
        return model

    def _validate_length(self, n: int, likelihood: bool = False) -> None:
        if self.allow_extrapolation:
            return
        path = self.checkpoint or checkpoints.shipped_path(
            self.algorithm, self.noise, likelihood=likelihood
        )
        limit = checkpoints.validated_length(pathlib.Path(path))
        self._check_length(n, limit, f" of {self.algorithm}", likelihood=likelihood)


@meshes.jit_over_lists
def _log_trace(operator: LearnedSort, x: jax.Array) -> LogTrace:
    unknown = finite.has_nan(x) | ~hyperparameters.valid(operator)
    operator = hyperparameters.in_dtype(operator, finite.work_dtype(x))
    lowest = float(jnp.finfo(x.dtype).min)  # CLRS's -1e6 on the diagonal overflows float16

    def finish(part: jax.Array) -> jax.Array:
        absent = jnp.expand_dims(unknown, range(unknown.ndim, part.ndim))
        return jnp.where(absent, jnp.nan, jnp.maximum(part, lowest)).astype(x.dtype)

    return jax.tree.map(finish, operator._trace(finite.sanitise(x)))
