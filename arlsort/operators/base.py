# SPDX-License-Identifier: Apache-2.0
"""The interface of every sorting operator, and what all of them share.

`Operator` is a template: it checks the input, chooses the dtype of the computation, keeps NaN and
infinities away from the relaxation, and makes the straight-through estimator. A subclass only says
how scores become weights.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from arlsort import checks
from arlsort.numerics import finite, rowwise
from arlsort.operators import hyperparameters
from arlsort.soft_permutation import apply, from_order, to_ranks

Class = TypeVar("Class", bound=type)

STATIC = {"static": True}
"""Metadata of the dataclass fields that are compiled in (strings, flags, counts)."""

REGISTERED: list[type["Operator"]] = []
"""The classes of operators, in the order of their definition; for wording errors."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Relaxation:
    """The result of an operator; `values, permutation = operator(x)` unpacks the first two.

    Attributes:
      values: The softly sorted scores, ascending, `[..., n]`.
      permutation: `[..., n, n]`; the weight of input `j` at ascending position `i`.
      converged: Booleans `[...]`: whether the weights are those that the method defines, within its
        tolerance. Always true where there is a closed form; an iteration that met its limit first
        says False.
    """

    values: jax.Array
    permutation: jax.Array
    converged: jax.Array

    def __iter__(self) -> Iterator[jax.Array]:
        return iter((self.values, self.permutation))


def softmax(logits: jax.Array, temperature: jax.typing.ArrayLike) -> jax.Array:
    """Computes `softmax(logits / temperature)` over the last axis without overflow."""
    below = logits - lax.stop_gradient(logits.max(axis=-1, keepdims=True))
    return rowwise.normalised_exp(below, temperature)


def register(cls: Class) -> Class:
    """Makes an operator class a pytree: its float hyperparameters and keys are the leaves.

    Unlike with `jax.tree_util.register_dataclass`, putting leaves together checks nothing, so trees
    of gradients, axes, masks or labels in the shape of an operator are allowed.
    """
    fields = dataclasses.fields(cls)
    leaves = tuple(field.name for field in fields if not field.metadata.get("static"))
    static = tuple(field.name for field in fields if field.metadata.get("static"))

    def flatten(operator: Operator) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        pairs = tuple(
            (jax.tree_util.GetAttrKey(name), hyperparameters.representable(name, value))
            for name, value in ((name, getattr(operator, name)) for name in leaves)
        )
        return pairs, tuple(getattr(operator, name) for name in static)

    def unflatten(values: tuple[Any, ...], children: Iterable[Any]) -> Operator:
        operator: Any = object.__new__(cls)
        for name, value in (*zip(static, values, strict=True), *zip(leaves, children, strict=True)):
            object.__setattr__(operator, name, value)
        return operator

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
    REGISTERED.append(cls)
    return cls


@dataclasses.dataclass(frozen=True)
class Operator:
    """One relaxation of sorting: scores in, soft order out.

    Operators are frozen dataclasses and JAX pytrees. Their float hyperparameters are leaves, so
    changing a temperature, also inside `jit`, never recompiles; strings, flags and counts are
    compiled in. Every method acts on the last axis, for any leading batch dimensions, and no row's
    result depends on another row.

    What holds for all operators:

    * The dtype of the result is that of the input; float16 and bfloat16 are computed in float32.
    * A NaN anywhere in a row makes that row's result NaN, and its gradient zero.
    * Scores are clipped to `[-M, M]` with `M = finfo(dtype).max / 2**16` of the dtype of the
      computation, so that no difference or sum overflows: an infinity counts as `±M`.
    * A temperature may be any number > 0. It is clipped to `[1 / M, M]`, so what is beyond gives
      the limit, cold or hot. One that is traced and not positive makes all results NaN.
    * Ranks and soft indices are within [0, n - 1], rounded to the dtype of the result.
    * `hard=True` is the straight-through estimator: exact values and a one-hot permutation (ties
      by index, as `jnp.argsort` and `lax.top_k`) forward, the gradient of the relaxation backward.
    * With `descending=True` the largest is at position 0.

    Attributes:
      hard: Whether to return the exact sort with the gradient of the relaxation.
    """

    hard: bool = dataclasses.field(default=False, kw_only=True, metadata=STATIC)

    has_permutation: ClassVar[bool] = True
    """Whether there are weights at all; an operator with values only says False."""
    doubly_stochastic: ClassVar[bool] = False
    """Whether the columns of the permutation sum to one too."""
    equivariant: ClassVar[bool] = True
    """Whether permuting the scores only permutes the columns of the permutation."""
    hard_limit: ClassVar[float] = 1e-4
    """A temperature at which scores that are 0.1 or more apart are as good as sorted exactly."""
    hard_limit_atol: ClassVar[float] = 1e-3
    """How far the weights may be from one-hot at that temperature."""
    gradient_limit: ClassVar[float] = math.inf
    """Magnitude of float32 scores up to which gradients are finite; values and weights always."""
    gradient_rtol: ClassVar[float] = 1e-5
    """How near gradients are to central differences in float64, as a fraction."""
    allows_zero_temperature: ClassVar[bool] = False
    """Whether a temperature of zero means the coldest there is."""
    scale_free: ClassVar[bool] = False
    """Whether lists are first brought to a scale of their own: padding then shrinks the others."""
    keeps_ties: ClassVar[bool] = False
    """Whether equal scores do not share weight, also in the gradient: their indices decide."""

    def __post_init__(self) -> None:
        checks.check_flag("hard", self.hard)

    @property
    def needs_key(self) -> bool:
        """Whether it draws random numbers: its field `key` must then be set before it is called."""
        return False

    @property
    def exact_forward(self) -> bool:
        """Whether values and weights are exact, so that gradients are those of something else."""
        return self.hard

    @property
    def preserves_sum(self) -> bool:
        """Whether values without weights sum to the scores; asked only if there are no weights."""
        return True

    def __call__(self, x: jax.Array, *, descending: bool = False) -> Relaxation:
        """Sorts scores softly and returns the weights with the values.

        Args:
          x: Scores `[..., n]`, floating.
          descending: Whether position 0 is that of the largest.

        Returns:
          Values `[..., n]` and permutation `[..., n, n]`, with `values = permutation @ x`.

        Raises:
          TypeError: If `x` is not a floating array.
          ValueError: If `x` is a scalar or longer than the operator allows, or if the operator has
            no permutation.
        """
        return _relax(self, self._check(x, weights=True), descending=descending)

    def permutation(self, x: jax.Array, *, descending: bool = False) -> jax.Array:
        """Returns the soft permutation `[..., n, n]` of scores `[..., n]`; raises as a call."""
        return _permutation(self, self._check(x, weights=True), descending=descending)

    def sort(self, x: jax.Array, *, descending: bool = False) -> jax.Array:
        """Returns the soft values `[..., n]` of scores `[..., n]`, at the least cost.

        Raises:
          TypeError: If `x` is not a floating array.
          ValueError: If `x` is a scalar or longer than the operator allows.
        """
        return _sort(self, self._check(x), descending=descending)

    def sort_by(self, keys: jax.Array, rows: jax.Array, *, descending: bool = False) -> jax.Array:
        """Puts rows in the soft order of their keys, without forming the weights if avoidable.

        Args:
          keys: Scores `[..., n]`, floating.
          rows: `[..., n, d]`, floating. NaN keys make all rows of that list NaN; NaN and infinity
            in a row spread to wherever the row has weight.
          descending: Whether the row with the largest key comes first.

        Returns:
          `permutation(keys) @ rows`, of the shape and dtype of `rows`.

        Raises:
          TypeError: If an argument is not a floating array.
          ValueError: If shapes do not match, or the operator cannot sort rows.
        """
        keys = self._check(keys, "keys", weights=True)
        rows = checks.check_scores("rows", rows)
        if rows.shape[:-1] != keys.shape:
            allowed = f"{(*keys.shape, 'd')} for keys of shape {keys.shape}"
            raise ValueError(checks.error_message("rows", f"shape {rows.shape}", allowed))
        return _sort_by(self, keys, rows, descending=descending)

    def argsort(self, x: jax.Array, *, descending: bool = False) -> jax.Array:
        """Returns the soft index `[..., n]` of the input at every position; raises as a call."""
        x = self._check(x, weights=True)
        indices = lax.broadcasted_iota(finite.work_dtype(x), (*x.shape, 1), x.ndim - 1)
        soft = _sort_by(self, x, indices, descending=descending, indices=True)[..., 0]
        return finite.positions(soft, x.shape[-1], x.dtype)

    def rank(self, x: jax.Array, *, descending: bool = False) -> jax.Array:
        """Returns the soft ranks `[..., n]` of scores `[..., n]`, 0-based, at the least cost.

        Raises:
          TypeError: If `x` is not a floating array.
          ValueError: If `x` is a scalar or longer than the operator allows, or if the operator has
            neither weights nor ranks of its own.
        """
        x = self._check(x, weights=type(self)._rank is Operator._rank)
        return _rank(self, x, descending=descending)

    # What a subclass gives. Scores have n >= 2 and are finite float32 or float64.

    def _permutation(self, scores: jax.Array) -> jax.Array:
        """Turns scores `[..., n]` into weights `[..., n, n]`."""
        raise NotImplementedError

    def _permutation_with_nan(self, scores: jax.Array, has_nan: jax.Array) -> jax.Array:
        """Turns scores into weights, NaN where `has_nan[...]`; override to save a pass."""
        return jnp.where(has_nan[..., None, None], jnp.nan, self._permutation(scores))

    def _solve(self, scores: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Gives weights and whether they converged `[...]`; override if they may not."""
        return self._permutation(scores), jnp.ones(scores.shape[:-1], bool)

    def _apply(self, scores: jax.Array, rows: jax.Array) -> jax.Array:
        """Applies the weights of `scores` to rows `[..., n, d]`; override if P can be avoided."""
        return apply(self._permutation(scores), rows)

    def _sort(self, scores: jax.Array) -> jax.Array:
        """Gives soft values `[..., n]`; override if P can be avoided."""
        return apply(self._permutation(scores), scores)

    def _rank(self, scores: jax.Array) -> jax.Array:
        """Gives soft ranks `[..., n]`; override if P can be avoided."""
        return to_ranks(self._permutation(scores))

    def _validate_length(self, n: int) -> None:
        """Raises ValueError if rows of n scores are too long; override to set a limit."""

    def _check(self, x: Any, argument: str = "x", *, weights: bool = False) -> jax.Array:
        if weights and not self.has_permutation:
            able = (cls.__name__ for cls in REGISTERED if cls.has_permutation)
            received = f"{type(self).__name__}, which has values only"
            raise ValueError(checks.error_message("operator", received, checks.one_of(able)))
        scores = checks.check_scores(argument, x)
        self._check_hyperparameters()
        self._validate_length(scores.shape[-1])
        return scores

    def _check_hyperparameters(self) -> None:
        """Raises what can be said only at a call."""
        for field in dataclasses.fields(self):
            # What was traced when it was set could not be told from one of a batch.
            shape = np.shape(getattr(self, field.name)) if _is_number(field) else ()
            if shape:
                allowed = "a scalar; use jax.vmap for several"
                raise ValueError(checks.error_message(field.name, f"shape {shape}", allowed))
        if self.needs_key:
            checks.check_key(type(self).__name__, getattr(self, "key", None))


def _is_number(field: dataclasses.Field) -> bool:
    return isinstance(field.default, float) and not field.metadata.get("static")


_jit = functools.partial(jax.jit, static_argnames=("descending",))


@_jit
def _relax(operator: Operator, x: jax.Array, descending: bool) -> Relaxation:
    call = _Call.of(operator, x, descending)
    if x.shape[-1] < 2:
        weights, converged = call.weights(), jnp.ones(x.shape[:-1], bool)
    else:
        weights, converged = call.operator._solve(call.scores)
    values = apply(weights, call.scores)
    return Relaxation(call.finish_values(values), call.finish_weights(weights), converged)


@_jit
def _permutation(operator: Operator, x: jax.Array, descending: bool) -> jax.Array:
    call = _Call.of(operator, x, descending)
    if operator.exact_forward or x.shape[-1] < 2:
        return call.finish_weights(call.weights())
    weights = call.operator._permutation_with_nan(call.scores, call.unknown).astype(x.dtype)
    return call.turned(weights, -2)


@_jit
def _sort(operator: Operator, x: jax.Array, descending: bool) -> jax.Array:
    call = _Call.of(operator, x, descending)
    return call.finish_values(call.scores if x.shape[-1] < 2 else call.operator._sort(call.scores))


@_jit
def _rank(operator: Operator, x: jax.Array, descending: bool) -> jax.Array:
    call = _Call.of(operator, x, descending)
    n = x.shape[-1]
    ranks = jnp.zeros_like(call.scores) if n < 2 else call.operator._rank(call.scores)
    ranks = call.in_place(n - 1 - ranks if descending else ranks)
    exact = None
    if operator.exact_forward:
        exact = jnp.argsort(call.order(), axis=-1).astype(ranks.dtype)
    ranks = _straight_through(ranks, exact, ranks.dtype)
    return jnp.where(call.unknown[..., None], jnp.nan, finite.positions(ranks, n, x.dtype))


@functools.partial(jax.jit, static_argnames=("descending", "indices"))
def _sort_by(
    operator: Operator,
    keys: jax.Array,
    rows: jax.Array,
    descending: bool,
    indices: bool = False,
) -> jax.Array:
    """Sorts rows; with `indices` they are known to be finite numbers, 0 to n - 1."""
    dtype = jnp.promote_types(finite.work_dtype(keys), finite.work_dtype(rows))
    call = _Call.of(operator, keys, descending, dtype)
    work = call.in_place(rows, -2).astype(dtype)
    if keys.shape[-1] < 2:
        relaxed = work
    elif indices:
        relaxed = call.operator._apply(call.scores, work)
    else:
        relaxed = finite.mix(functools.partial(call.operator._apply, call.scores), work)
    exact = None
    if operator.exact_forward:
        exact = jnp.take_along_axis(rows, call.order()[..., None], axis=-2)
    result = _straight_through(call.turned(relaxed, -2), exact, rows.dtype)
    return jnp.where(call.unknown[..., None, None], jnp.nan, result)


@dataclasses.dataclass(frozen=True)
class _Call:
    """One call of an operator: what it computes with, and how its results are finished.

    Attributes:
      operator: The operator, in the dtype of the computation.
      x: What was given.
      scores: The same, finite; the other way round if `reversed`.
      unknown: Which lists have no result, `[...]`: those with NaN, or all if a temperature is not
        valid.
      descending: Whether results are turned over.
      reversed: Whether the list is, so that its ties are in their order when results are turned.
    """

    operator: Operator
    x: jax.Array
    scores: jax.Array
    unknown: jax.Array
    descending: bool
    reversed: bool

    @classmethod
    def of(
        cls, operator: Operator, x: jax.Array, descending: bool, dtype: jnp.dtype | None = None
    ) -> "_Call":
        scores = finite.sanitise(x)
        scores = scores if dtype is None else scores.astype(dtype)
        unknown = finite.has_nan(x) | ~hyperparameters.valid(operator)
        reverse = descending and operator.keeps_ties
        scores = jnp.flip(scores, axis=-1) if reverse else scores
        operator = hyperparameters.in_dtype(operator, scores.dtype)
        return cls(operator, x, scores, unknown, descending, reverse)

    def weights(self) -> jax.Array:
        n = self.scores.shape[-1]
        if n < 2:
            return jnp.ones((*self.scores.shape, n), self.scores.dtype)
        return self.operator._permutation(self.scores)

    def order(self) -> jax.Array:
        """The exact order, as `jnp.argsort` gives it."""
        return jnp.argsort(self.x, axis=-1, descending=self.descending)

    def turned(self, result: jax.Array, axis: int) -> jax.Array:
        """Turns positions over, along an axis, if the largest comes first."""
        return jnp.flip(result, axis=axis) if self.descending else result

    def in_place(self, result: jax.Array, axis: int = -1) -> jax.Array:
        """Takes what is along the inputs from their order to the reversed one, or back."""
        return jnp.flip(result, axis=axis) if self.reversed else result

    def finish_values(self, values: jax.Array) -> jax.Array:
        exact = None
        if self.operator.hard:
            exact = jnp.sort(self.x, axis=-1, descending=self.descending)
        result = _straight_through(self.turned(values, -1), exact, self.x.dtype)
        return jnp.where(self.unknown[..., None], jnp.nan, result)

    def finish_weights(self, weights: jax.Array) -> jax.Array:
        exact = None
        if self.operator.exact_forward:
            exact = from_order(self.order(), self.x.dtype)
        weights = self.turned(self.in_place(weights), -2)
        result = _straight_through(weights, exact, self.x.dtype)
        return jnp.where(self.unknown[..., None, None], jnp.nan, result)


def _straight_through(relaxed: jax.Array, exact: jax.Array | None, dtype: jnp.dtype) -> jax.Array:
    """Takes a result to the caller's dtype; the exact one, if given, with the relaxed gradient."""
    if exact is None:
        return relaxed.astype(dtype)
    # The difference is exactly zero: every normal number comes out to the last bit.
    # That of two infinities would be NaN.
    surrogate = jnp.where(jnp.isfinite(relaxed), relaxed - lax.stop_gradient(relaxed), 0.0)
    return lax.stop_gradient(exact) + surrogate.astype(dtype)
