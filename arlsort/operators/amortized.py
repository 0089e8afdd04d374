# SPDX-License-Identifier: Apache-2.0
"""AmortizedSort: a graph network that has learned the mean permutation of noisy scores."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.amortized import checkpoint as checkpoints
from arlsort.amortized import network
from arlsort.amortized.orders import network as order_network
from arlsort.numerics import finite, meshes, orders, prefixes
from arlsort.operators import base, calls, checkpointed
from arlsort.reasoner import scale

_FROZEN = 2.0  # a temperature of zero arrives as the smallest there is
_FAR = 1e30  # in units of the noise: far more than the network can distinguish
_FAR_IN_ORDER = 1e15  # the same; over the square of a noise scale it is finite
_LOG_SCALES = 20.0  # logarithms of noise scales further from their mean than this are clipped


@base.register
@dataclasses.dataclass(frozen=True)
class AmortizedSort(checkpointed.Checkpointed):
    """The mean permutation of noisy scores, as a small graph network predicts it.

    Put independent noise of scale `temperature` on every score, sort, and average the permutation
    matrices: `P = E[P(x + t z)]`. A network was trained to give this mean at once, for any list and
    any temperature. It executes no sort. At each of 16 learned levels of its own noise, an element
    sums the probabilities that the others fall below it. A small network turns the sums of each
    level into a bump over places. P is these bumps, balanced by a few Sinkhorn rounds.

    Rows of P sum to one exactly, columns to 0.1 or better. P is equivariant: no input says where an
    element stands. Equal scores share their places. How near P is to the exact mean is in the
    checkpoint's card and in docs/learned_sort.md. `arlsort.numerics.mean_permutation` computes the
    mean itself, in `n^3` times 40 (Gaussian) or 96 (Cauchy) operations instead of `n^2` times some
    50.

    With `normalize=True` each list is first mapped to range 1, so the temperature is a fraction of
    the list's range. With `normalize=False` the temperature is in the unit of `x`: for training a
    network, which then learns its own scale.

    `log_likelihood` is computed by a second, recurrent network, trained on orders under Cauchy
    noise.

    A temperature of 0 is the network's cold limit, with ties in the order of their indices. Its
    gradient is zero.

    Attributes:
      temperature: Scale of the noise, the standard deviation if it is Gaussian; >= 0.
      normalize: Whether to map each list to range 1 first.
      noise: `"gaussian"`, or `"cauchy"`, whose heavy tails give gradients to pairs far apart. None
        takes `"gaussian"`, or what a checkpoint of your own was trained with. `log_likelihood` is
        under Cauchy noise, and takes None or `"cauchy"`.
      allow_extrapolation: Whether to accept lists longer than the checkpoint was validated for.
      checkpoint: A `.safetensors` file of your own training, read once; by default the shipped one.

    Raises:
      ValueError: If a hyperparameter is out of range, or (when called) a list is too long.
      arlsort.weight_files.CheckpointError: If the checkpoint is missing or damaged.

    Example:
      >>> import jax.numpy as jnp
      >>> print(AmortizedSort(temperature=0.0).sort(jnp.array([3.0, 1.0, 2.0])).round(2))
      [1. 2. 3.]

    References:
      Berthet et al., Learning with Differentiable Perturbed Optimizers, NeurIPS 2020 (the mean);
      Zaheer et al., Deep Sets, NeurIPS 2017 (sums over the others).
    """

    temperature: ArrayLike = 0.1
    normalize: bool = dataclasses.field(default=True, metadata=base.STATIC)
    noise: str | None = dataclasses.field(default=None, metadata=base.STATIC)
    allow_extrapolation: bool = dataclasses.field(default=False, metadata=base.STATIC)
    checkpoint: str | None = dataclasses.field(default=None, metadata=base.STATIC)

    hard_limit_atol = 0.02

    def __post_init__(self) -> None:
        if self.noise is not None:
            checks.check_choice("noise", self.noise, checkpoints.SHIPPED)
        super().__post_init__()

    def permutation(
        self,
        x: jax.Array,
        *,
        descending: bool = False,
        where: jax.Array | None = None,
        noise_scales: jax.Array | None = None,
    ) -> jax.Array:
        """The soft permutation, also with a noise scale for each score.

        Args:
          x: Scores `[..., n]`, floating.
          descending: Whether position 0 is that of the largest.
          where: Mask of the items, `[..., n]`, if no noise scales are given; None for all.
          noise_scales: `[..., n]`, > 0; the noise of each score in units of the temperature, no
            further than a factor of e^20 from their geometric mean. None for 1.

        Returns:
          `P[..., n, n]`, of the dtype of `x`. NaN for a list with a NaN, and for one whose noise
          scales are traced and not positive and finite.

        Raises:
          TypeError: If an argument is not a floating array.
          ValueError: If shapes differ, a noise scale is not positive and finite, or a list is
            longer than the checkpoint allows.

        Example:
          >>> import jax.numpy as jnp
          >>> x, sure, unsure = jnp.array([0.0, 1.0]), jnp.ones(2), jnp.array([1.0, 9.0])
          >>> operator = AmortizedSort(temperature=0.5)
          >>> sharp, soft = (operator.permutation(x, noise_scales=s) for s in (sure, unsure))
          >>> bool(sharp[0, 0] > soft[0, 0])
          True
        """
        if noise_scales is None:
            return super().permutation(x, descending=descending, where=where)
        if where is not None:
            raise ValueError(checks.error_message("where", "a mask beside noise_scales", "None"))
        x = self._check(x, descending, weights=True)
        noise_scales = checks.check_noise_scales(x, noise_scales)
        if x.shape[-1] < 2:
            found = super().permutation(x, descending=descending)
            _, wrong = orders.sanitise_scales(noise_scales, x.dtype)
            return jnp.where(wrong[..., None, None], jnp.nan, found)
        return _with_noise_scales(self, x, noise_scales, descending=descending)

    @property
    def has_likelihood(self) -> bool:
        """Whether there is a network for `log_likelihood`."""
        if self.checkpoint is not None:
            return checkpoints.load_once(self.checkpoint).of_orders
        return self.noise in (None, checkpoints.ORDER_NOISE)

    def log_likelihood(
        self,
        x: jax.Array,
        order: jax.Array,
        noise_scales: jax.Array | None = None,
        *,
        where: jax.Array | None = None,
    ) -> jax.Array:
        """How likely an order is under Cauchy noise: a loss for where only the order is known.

        `log P(x[o_0] + t w[o_0] z_0 < x[o_1] + t w[o_1] z_1 < ...)`, with independent z of the
        standard Cauchy law. A recurrent network reads the scores along the order. By the chain rule
        it sums the log-probabilities that each one is above the one before, given that those before
        are in order. It was trained on `cauchy_log_likelihood`, of likely and unlikely orders.
        docs/learned_sort.md has its errors. It takes a fraction of the time, O(n) steps.

        Args:
          x: Scores `[..., n]`, floating.
          order: `[..., n]` ints; the elements in ascending order, as `argsort` gives it.
          noise_scales: `[..., n]`, > 0; the noise of each score in units of the temperature, no
            further than a factor of e^20 from their geometric mean. None for 1.
          where: Mask of the items, `[..., n]`; None for all. Masked elements of the order are
            passed over.

        Returns:
          `[...]`, of the dtype of `x`; NaN for a list with a NaN, and for one whose order or noise
          scales are traced and not allowed.

        Raises:
          TypeError: If an argument has the wrong type or dtype.
          ValueError: If shapes differ, `order` is no permutation, a noise scale is not positive and
            finite, a list is too long, or no network fits: the shipped one is for Cauchy noise, the
            default here.

        Example:
          >>> import jax.numpy as jnp
          >>> operator = AmortizedSort(noise="cauchy", normalize=False, temperature=1.0)
          >>> pair = operator.log_likelihood(jnp.array([0.0, 1.0]), jnp.array([0, 1]))
          >>> print(jnp.exp(pair).round(3))  # 1/2 + atan(1/2) / pi
          0.648

        References:
          Thurstone, A Law of Comparative Judgment, Psychological Review 1927; Cho et al., Learning
          Phrase Representations using RNN Encoder-Decoder, EMNLP 2014 (the recurrent unit).
        """
        x, order, noise_scales, mask = orders.check(x, order, noise_scales, where)
        self._check_hyperparameters()
        self._validate_length(x.shape[-1], of_orders=True)
        return checkpointed.log_likelihood(self, x, order, noise_scales, mask)

    def _log_likelihood(
        self,
        scores: jax.Array,
        order: jax.Array,
        noise_scales: jax.Array | None,
        count: jax.Array | None,
    ) -> jax.Array:
        """The likelihood where the first `count[...]` elements are the items, or all are."""
        model, n = self._checkpoint(of_orders=True), scores.shape[-1]
        if n < 2:
            return jnp.zeros(scores.shape[:-1], scores.dtype)
        if self.normalize:
            scores = scale.unit_range(scores, count)
        items = prefixes.count_of(scores, count)
        unit = finite.temperature(self.temperature, scores.dtype)
        scales = jnp.ones_like(scores)
        if noise_scales is not None:
            scales, middle = _about_one(noise_scales, items)
            unit = jnp.maximum(unit * middle, 1 / finite.largest(scores.dtype))
        centred = scores - prefixes.mean(scores, items)
        far = jnp.clip(centred / unit, -_FAR_IN_ORDER, _FAR_IN_ORDER)
        a, w = (jnp.take_along_axis(v, order, axis=-1).reshape(-1, n) for v in (far, scales))
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, scores.dtype), model.params)
        found = order_network.transform(model.config).apply(params, None, a, w)
        found = found.reshape(*scores.shape[:-1], n - 1)
        return jnp.sum(prefixes.keep(found, items - 1), axis=-1)

    def _masked_permutation(self, scores: jax.Array, count: jax.Array) -> jax.Array:
        return self._permutation(scores, count=count)

    def _permutation(
        self,
        scores: jax.Array,
        noise_scales: jax.Array | None = None,
        count: jax.Array | None = None,
    ) -> jax.Array:
        model = self._checkpoint()
        if self.normalize:
            scores = scale.unit_range(scores, count)
        temperature = jnp.asarray(self.temperature, scores.dtype)
        frozen = temperature <= _FROZEN / finite.largest(scores.dtype)
        if noise_scales is None:
            unit = temperature
        else:
            items = prefixes.count_of(scores, count)
            noise_scales, middle = _about_one(noise_scales, items)
            unit = temperature * middle[..., None]
        smallest = 1 / finite.largest(scores.dtype)
        unit = jnp.where(frozen | (unit < smallest), 1.0, unit)
        apart = scores[..., :, None] - scores[..., None, :]
        # At temperature 0 indices decide ties, and there is nothing to learn.
        index = jax.lax.broadcasted_iota(apart.dtype, apart.shape, apart.ndim - 1)
        by_index = jnp.swapaxes(index, -1, -2) - index
        cold = jax.lax.stop_gradient(jnp.where(apart == 0, by_index, apart))
        differences = jnp.where(frozen, jnp.sign(cold) * _FAR, apart / unit)
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, scores.dtype), model.params)
        apply = network.transform(model.config, model.noise).apply
        return apply(params, None, jnp.clip(differences, -_FAR, _FAR), noise_scales, count)

    def _checkpoint(self, of_orders: bool = False) -> checkpoints.Checkpoint:
        if self.checkpoint is None:
            return checkpoints.shipped(self.noise, of_orders=of_orders)
        model = checkpoints.load_once(self.checkpoint)
        if model.of_orders != of_orders:
            kinds = ("one of permutations", "one of orders")
            received, allowed = kinds[model.of_orders], kinds[of_orders]
            raise ValueError(checks.error_message("checkpoint", received, allowed))
        if self.noise not in (None, model.noise):
            received = f"{self.noise!r} with a checkpoint trained with {model.noise!r}"
            raise ValueError(checks.error_message("noise", received, f"{model.noise!r} or None"))
        return model

    def _validate_length(self, n: int, of_orders: bool = False) -> None:
        limit = self._checkpoint(of_orders).validated_length
        self._check_length(n, limit, likelihood=of_orders)


def _about_one(noise_scales: jax.Array, items: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Divides noise scales `[..., n]` by their geometric mean, and gives that too, `[..., 1]`."""
    logs = jnp.log(noise_scales)
    middle = prefixes.mean(logs, items)
    return jnp.exp(jnp.clip(logs - middle, -_LOG_SCALES, _LOG_SCALES)), jnp.exp(middle)


@functools.partial(meshes.jit_over_lists, static=("descending",))
def _with_noise_scales(
    operator: AmortizedSort, x: jax.Array, noise_scales: jax.Array, descending: bool
) -> jax.Array:
    call = calls.Call.of(operator, x, descending)
    scales, wrong = orders.sanitise_scales(noise_scales, call.scores.dtype)
    found = call.finish_weights(call.operator._permutation(call.scores, call.in_place(scales)))
    return jnp.where(wrong[..., None, None], jnp.nan, found)
