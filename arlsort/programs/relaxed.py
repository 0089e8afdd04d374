# SPDX-License-Identifier: Apache-2.0
"""`relaxed`, which makes a layer of a program, and `Relaxer`, which has its conditions."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.checks import error_message
from arlsort.networks.swaps import DISTRIBUTIONS, Swap
from arlsort.numerics import finite
from arlsort.programs import choices, conditions, control, states

TEMPERATURE = 0.1
"""The default of every program: one over AlgoVision's beta of 10."""

ART_LAMBDA = 0.25
"""The exponent of `logistic_art` in every program; the default of `SortingNetwork`."""


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["temperature"],
    meta_fields=["distribution", "exact"],
)
@dataclasses.dataclass(frozen=True)
class Relaxer:
    """The first argument of a relaxed program: its conditions, choices, `if_` and `while_`.

    A condition is a weight in [0, 1], elementwise for arrays. With d = a - b, t the temperature,
    F the distribution function and f its density:

    * `greater(a, b)` and `greater_equal`: `F(d / t)`; `less` and `less_equal`: `F(-d / t)`
    * `equal(a, b)`: `f(d / t) / f(0)`, for the logistic `sech(d / 2t)^2`; `not_equal`: one less it
    * `same(a, b)`, of two distributions over classes: `sech((1 - cos) / t)` for the logistic, else
      `equal(1 - cos, 0)`, with the cosine over the last axis
    * `cosine(a, b)`: the cosine itself, which can be negative
    * `is_true(v)`: v, NaN if it is outside [0, 1]; `is_false(v)`: 1 - v

    `programs.and_`, `or_` and `not_` join them. No magnitude gives NaN.

    In the exact program (`hard=True`) every weight is 0 or 1: comparisons are those of Python,
    `same` asks whether both have their largest weight at the same class, and any other weight
    counts from above 1/2 on. A comparison of NaN is NaN, in both programs.

    Attributes:
      temperature: Small is exact; in the unit of what is compared.
      distribution: The name of F, one of those of `arlsort.SortingNetwork`; `logistic_art` has the
        art_lambda 0.25.
      exact: Whether this is the exact program.

    Example:
      >>> r = Relaxer(temperature=0.5)
      >>> print(r.greater(1.0, 0.0).round(2), r.equal(1.0, 1.0), r.if_(0.25, 4.0, 8.0))
      0.88 1.0 7.0

    References:
      Petersen et al., Learning with Algorithmic Supervision via Continuous Relaxations,
      NeurIPS 2021.
    """

    temperature: ArrayLike = TEMPERATURE
    distribution: str = "logistic"
    exact: bool = False

    def greater(self, a: ArrayLike, b: ArrayLike) -> jax.Array:
        """The weight of `a > b`."""
        if self.exact:
            return self._indicator(jnp.greater, a, b)
        return conditions.greater(self.swap, a, b)

    def greater_equal(self, a: ArrayLike, b: ArrayLike) -> jax.Array:
        """The weight of `a >= b`: that of `a > b`, but in the exact program."""
        return self._indicator(jnp.greater_equal, a, b) if self.exact else self.greater(a, b)

    def less(self, a: ArrayLike, b: ArrayLike) -> jax.Array:
        """The weight of `a < b`."""
        return self.greater(b, a)

    def less_equal(self, a: ArrayLike, b: ArrayLike) -> jax.Array:
        """The weight of `a <= b`: that of `a < b`, but in the exact program."""
        return self.greater_equal(b, a)

    def equal(self, a: ArrayLike, b: ArrayLike) -> jax.Array:
        """The weight of `a == b`: 1 where they are equal."""
        if self.exact:
            return self._indicator(jnp.equal, a, b)
        return conditions.equal(self.swap, a, b)

    def not_equal(self, a: ArrayLike, b: ArrayLike) -> jax.Array:
        """The weight of `a != b`."""
        return 1 - self.equal(a, b)

    def same(self, a: ArrayLike, b: ArrayLike) -> jax.Array:
        """The weight that two distributions over the last axis are of the same class."""
        if self.exact:
            a, b = map(_likeliest, conditions.numbers(a, b))
            return self._indicator(jnp.equal, a, b)
        return conditions.same(self.swap, a, b)

    def cosine(self, a: ArrayLike, b: ArrayLike) -> jax.Array:
        """The cosine of the angle between two vectors, over the last axis."""
        return self._decided(conditions.cosine(a, b))

    def is_true(self, value: ArrayLike) -> jax.Array:
        """The value itself, if it is a weight; else NaN, or an error for Python and NumPy."""
        return self._decided(states.nan_unless_weight(states.check_weight("value", value)))

    def is_false(self, value: ArrayLike) -> jax.Array:
        """One less the value, as `is_true`."""
        return 1 - self.is_true(value)

    def minimum(self, *values: ArrayLike, axis: int | None = None) -> jax.Array:
        """The soft minimum of arguments, elementwise, or of one array along an axis.

        `sum_i w[i] values[i]` with `w = softmax(-values / temperature)`.

        Raises:
          ValueError: If there is no value, or several with an axis, or no such axis.
        """
        return self._best(values, axis, -1.0, index=False)

    def maximum(self, *values: ArrayLike, axis: int | None = None) -> jax.Array:
        """The soft maximum, as `minimum`."""
        return self._best(values, axis, 1.0, index=False)

    def argmin(self, *values: ArrayLike, axis: int | None = None) -> jax.Array:
        """The weights w of `minimum`: along the axis, or of arguments along a new last one."""
        return self._best(values, axis, -1.0, index=True)

    def argmax(self, *values: ArrayLike, axis: int | None = None) -> jax.Array:
        """The weights of `maximum`, as `argmin`."""
        return self._best(values, axis, 1.0, index=True)

    def if_(self, condition: ArrayLike, then: Any, otherwise: Any, *operands: Any) -> Any:
        """Runs both branches and mixes their states: `p then + (1 - p) otherwise` for every float.

        Args:
          condition: The weight p, `[]` or `[batch]`.
          then: A state, any pytree; or a function of the operands that returns one.
          otherwise: The same.
          *operands: What is given to branches that are functions.

        Returns:
          A state. Leaves that are one object in both branches are that object.

        Raises:
          ValueError: If the branches differ in structure, shapes or dtypes; if integers differ, or
            may; or if a condition of Python or NumPy is outside [0, 1]. The variable is named.
        """
        return control.if_(self._decided(condition), then, otherwise, *operands)

    def while_(
        self,
        condition: Callable[[Any], ArrayLike],
        body: control.Body,
        state: Any,
        *,
        max_steps: int | None = None,
        tolerance: float = 0.0,
        skip: bool = False,
        remat: bool = False,
    ) -> Any:
        r"""Runs a loop while a condition holds, and mixes the states by the weight to stop there.

        With `s_k = body(k - 1, s_{k-1})` the state after k passes, K of them, and `p_k` the
        product of the conditions of `s_0` to `s_k`,

        `(1 - p_0) s_0 + sum_{k=1}^{K} (p_{k-1} - p_k) s_k + p_K s_K`.

        A row whose p is zero stays as it is while others go on.

        Args:
          condition: A function of the state that returns a weight, `[]` or `[batch]`.
          body: A function of the number of the pass, an integer scalar, and the state; it returns
            a state of the same structure, shapes and dtypes, with integers unchanged.
          state: Any pytree. Python numbers in it become arrays.
          max_steps: K, static. A loop that still runs then stops.
          tolerance: A row stops once its p is not above this.
          skip: Whether to skip passes in which no row runs. That saves time outside `jax.vmap`.
          remat: Whether to compute the passes again in the backward pass instead of keeping them.

        Returns:
          A state.

        Raises:
          TypeError: If `max_steps` is not an int.
          ValueError: If it is missing or not positive; if the shape of the condition is not that
            of the leading axes of the state; or if the body changes the structure, a shape, a dtype
            or an integer. The variable is named.
        """

        def decided(state: Any) -> jax.Array:
            return self._decided(condition(state))

        options: dict[str, Any] = {"tolerance": tolerance, "skip": skip, "remat": remat}
        return control.while_(decided, body, state, max_steps=max_steps, **options)

    @property
    def swap(self) -> Swap:
        """The soft comparator that exchanges a and b with the weight `greater(a, b)`."""
        art_lambda = jnp.asarray(ART_LAMBDA)
        return Swap(self.distribution, False, jnp.asarray(self.temperature), art_lambda)

    def _decided(self, weight: ArrayLike) -> jax.Array:
        weight = states.check_weight("condition", weight)
        if not self.exact:
            return weight
        return jnp.where(jnp.isnan(weight), weight, (weight > 0.5).astype(weight.dtype))

    def _indicator(
        self, compare: Callable[..., jax.Array], a: ArrayLike, b: ArrayLike
    ) -> jax.Array:
        """An exact comparison; of NaN, or at a temperature that is not above zero, it is NaN."""
        a, b = conditions.numbers(a, b)
        known = ~(jnp.isnan(a) | jnp.isnan(b)) & finite.is_positive(self.temperature)
        return jnp.where(known, compare(a, b).astype(a.dtype), jnp.nan)

    def _best(
        self, values: tuple[Any, ...], axis: int | None, sign: float, index: bool
    ) -> jax.Array:
        array, along = choices.stacked(values, axis)
        temperature = conditions.in_dtype(jnp.asarray(self.temperature), array.dtype)
        share = choices.weights(array, temperature, along, sign, self.exact)
        return share if index else choices.mean(share, array, along)


def _likeliest(shares: jax.Array) -> jax.Array:
    """The number of the largest share over the last axis; NaN if one is."""
    best = jnp.argmax(shares, axis=-1).astype(shares.dtype)
    return jnp.where(jnp.isnan(shares).any(axis=-1), jnp.nan, best)


@overload
def relaxed(program: Callable[..., Any], /) -> Callable[..., Any]: ...
@overload
def relaxed(*, ranks: Sequence[int] | None = None) -> Callable[..., Any]: ...
def relaxed(
    program: Callable[..., Any] | None = None, /, *, ranks: Sequence[int] | None = None
) -> Callable[..., Any]:
    """Makes a compiled, differentiable layer of a program.

    A program is a function `program(r, *inputs, **settings)` of a `Relaxer` and of one example. The
    layer is called `layer(*inputs, temperature=0.1, distribution="logistic", hard=False,
    **settings)`. With `hard=True` it returns the results of the exact program and has the gradient
    of the relaxed one.

    Args:
      program: The function.
      ranks: How many axes each input has in one example. Inputs of the layer may then have further
        axes in front, alike in all inputs or absent: the program is mapped over them. Without it,
        use `jax.vmap`.

    Returns:
      The layer. Inputs are pytrees of arrays; settings are static, and hashable. The temperature
      is a number or a scalar array: a new one compiles nothing. Arrays and networks from outside
      may be closures of the program. Decorate it then inside the loss, where they are known.

    Raises:
      TypeError: At the call, if the temperature is not a number or `hard` not a bool; if an input
        is missing, or there are other inputs than those of the program or of the ranks; or if a
        setting is not hashable.
      ValueError: At the call, if the temperature is not above zero, the distribution is not known,
        or an input has fewer axes than its rank, or other leading ones than the rest. A traced
        temperature that is not above zero makes every weight NaN.

    Example:
      >>> import jax.numpy as jnp
      >>> @relaxed
      ... def rectified(r, x):
      ...     return r.if_(r.greater(x, 0.0), x, 0.0)
      >>> print(rectified(jnp.array(1.0), temperature=0.5).round(2))
      0.88

    References:
      Petersen et al., Learning with Algorithmic Supervision via Continuous Relaxations,
      NeurIPS 2021.
    """
    if program is None:
        return functools.partial(_layer, ranks=ranks)
    return _layer(program, ranks=ranks)


def _layer(program: Callable[..., Any], ranks: Sequence[int] | None) -> Callable[..., Any]:
    parameters = [*inspect.signature(program).parameters.values()][1:]
    taken = inspect.Signature(parameters)
    names = [one.name for one in parameters if one.kind not in (one.KEYWORD_ONLY, one.VAR_KEYWORD)]

    @functools.partial(jax.jit, static_argnames=("distribution", "hard", "settings"))
    def compiled(
        temperature: jax.Array,
        inputs: tuple[Any, ...],
        distribution: str,
        hard: bool,
        settings: tuple[tuple[str, Any], ...],
    ) -> Any:
        def one(*inputs: Any) -> Any:
            def run(exact: bool) -> Any:
                return program(Relaxer(temperature, distribution, exact), *inputs, **dict(settings))

            return states.straight_through(run(False), run(True)) if hard else run(False)

        return one(*inputs) if ranks is None else _mapped(one, ranks, names, inputs)

    @functools.wraps(program)
    def layer(
        *inputs: Any,
        temperature: ArrayLike = TEMPERATURE,
        distribution: str = "logistic",
        hard: bool = False,
        **settings: Any,
    ) -> Any:
        checks.check_positive("temperature", temperature)
        checks.check_choice("distribution", distribution, tuple(DISTRIBUTIONS))
        checks.check_flag("hard", hard)
        bound = _bound(taken, names, inputs, settings)
        options = tuple(sorted((k, v) for k, v in settings.items() if k not in names))
        return compiled(_strong(temperature), bound, distribution, hard, options)

    # What is called has no `r`, and the keywords of every layer.
    own = inspect.signature(layer, follow_wrapped=False).parameters.values()
    common = [one for one in own if one.kind is one.KEYWORD_ONLY]
    inputs = [one for one in parameters if one.name in names]
    settings = [one for one in parameters if one.name not in names]
    signature = inspect.Signature([*inputs, *common, *settings])
    layer.__signature__ = signature  # type: ignore[attr-defined]
    return layer


def _bound(
    taken: inspect.Signature, names: list[str], inputs: tuple[Any, ...], settings: dict[str, Any]
) -> tuple[Any, ...]:
    """All inputs in the order of the program, with its defaults for those that are not given."""
    try:
        bound = taken.bind(*inputs, **settings)
    except TypeError as error:
        received = f"{len(inputs)} of them, {error}"
        raise TypeError(error_message("inputs", received, ", ".join(names))) from None
    for name, value in settings.items():
        if name not in names and not _is_hashable(value):
            received = f"a value of type {type(value).__name__}"
            raise TypeError(error_message(name, received, "a static, hashable one"))
    bound.apply_defaults()
    return bound.args


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _strong(temperature: ArrayLike) -> jax.Array:
    """A temperature in a dtype that does not depend on how it was written."""
    dtype = jnp.result_type(temperature)
    if isinstance(temperature, (int, float)) or not jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.dtype(jnp.float64 if jax.config.read("jax_enable_x64") else jnp.float32)
    if isinstance(temperature, (int, float)):  # 1e-60 is above zero, also in float32
        return finite.temperature(temperature, dtype)
    return jnp.asarray(temperature, dtype)


def _mapped(
    program: Callable[..., Any], ranks: Sequence[int], names: list[str], inputs: tuple[Any, ...]
) -> Any:
    """Maps over the leading axes of arrays, beyond those of one example."""
    if len(inputs) != len(ranks):
        raise TypeError(error_message("inputs", f"{len(inputs)} of them", ", ".join(names)))
    shapes = []
    for name, rank, value in zip(names, ranks, inputs, strict=True):
        if np.ndim(value) < rank:
            received = f"shape {np.shape(value)}"
            raise ValueError(error_message(name, received, f"an array of rank {rank} or more"))
        shapes.append(np.shape(value)[: np.ndim(value) - rank])
    leading = max(shapes, key=len)
    for name, shape in zip(names, shapes, strict=False):
        if shape not in ((), leading):
            received = f"leading axes {shape}"
            raise ValueError(error_message(name, received, f"none, or {leading}"))
    if not leading:
        return program(*inputs)
    size = math.prod(leading)
    flat = [
        jnp.reshape(value, (size, *np.shape(value)[len(leading) :])) if shape else value
        for value, shape in zip(inputs, shapes, strict=True)
    ]
    result = jax.vmap(program, in_axes=tuple(0 if shape else None for shape in shapes))(*flat)
    return jax.tree.map(lambda leaf: leaf.reshape(*leading, *leaf.shape[1:]), result)
