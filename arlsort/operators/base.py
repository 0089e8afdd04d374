# SPDX-License-Identifier: Apache-2.0
"""The interface of every sorting operator, and what all of them share.

`Operator` is a template: it checks the input, chooses the dtype of the computation, keeps NaN and
infinities away from the relaxation, and makes the straight-through estimator. A subclass only says
how scores become weights.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from arlsort import checks
from arlsort.numerics import finite, meshes, rowwise
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
        pairs = tuple((jax.tree_util.GetAttrKey(name), getattr(operator, name)) for name in leaves)
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
    * Two operators are equal if they are of one class and all fields are: numbers by value, arrays
      and keys by dtype, shape and every bit (an array is not equal to a number), what is traced if
      it is the same tracer. Equal ones have equal hashes; what is traced has none.
    * `hard=True` is the straight-through estimator: exact values and a one-hot permutation (ties
      by index) forward, the gradient of the relaxation backward.

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

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Named in every class, or `dataclass` would put its own there, which compares arrays by
        # `==` and hashes them.
        cls.__eq__ = Operator.__eq__  # type: ignore[method-assign]
        cls.__hash__ = Operator.__hash__  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        checks.check_flag("hard", self.hard)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(
            _same(getattr(self, field.name), getattr(other, field.name))
            for field in dataclasses.fields(self)
        )

    def __hash__(self) -> int:
        parts: list[Any] = [type(self)]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, jax.core.Tracer):
                received = f"a traced {field.name}"
                raise TypeError(checks.error_message("hash", received, "concrete values"))
            parts.append(_identity(value))
        return hash(tuple(parts))

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

    def __call__(self, x: jax.Array) -> Relaxation:
        """Sorts scores softly and returns the weights with the values.

        Args:
          x: Scores `[..., n]`, floating.

        Returns:
          Values `[..., n]` and permutation `[..., n, n]`, with `values = permutation @ x`.

        Raises:
          TypeError: If `x` is not a floating array.
          ValueError: If `x` is a scalar or longer than the operator allows, or if the operator has
            no permutation.
        """
        return _relax(self, self._check(x, weights=True))

    def permutation(self, x: jax.Array) -> jax.Array:
        """Returns the soft permutation `[..., n, n]` of scores `[..., n]`; raises as a call."""
        return _permutation(self, self._check(x, weights=True))

    def sort(self, x: jax.Array) -> jax.Array:
        """Returns the soft values `[..., n]` of scores `[..., n]`, at the least cost.

        Raises:
          TypeError: If `x` is not a floating array.
          ValueError: If `x` is a scalar or longer than the operator allows.
        """
        return _sort(self, self._check(x))

    def sort_by(self, keys: jax.Array, rows: jax.Array) -> jax.Array:
        """Puts rows in the soft order of their keys, without forming the weights if avoidable.

        Args:
          keys: Scores `[..., n]`, floating.
          rows: `[..., n, d]`, floating. NaN keys make all rows of that list NaN; NaN in a row
            spreads to wherever the row has weight.

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
        return _sort_by(self, keys, rows)

    def rank(self, x: jax.Array) -> jax.Array:
        """Returns the soft ranks `[..., n]` of scores `[..., n]`, 0-based, at the least cost.

        Raises:
          TypeError: If `x` is not a floating array.
          ValueError: If `x` is a scalar or longer than the operator allows, or if the operator has
            neither weights nor ranks of its own.
        """
        return _rank(self, self._check(x, weights=type(self)._rank is Operator._rank))

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


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, jax.core.Tracer) or isinstance(other, jax.core.Tracer):
        return False
    return bool(_identity(one) == _identity(other))


def _identity(value: Any) -> Any:
    """What two equal hyperparameters have in common, and can be hashed."""
    if not isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return value
    kind = str(value.dtype)
    if isinstance(value, jax.Array):
        if value.is_deleted() or not value.is_fully_addressable:
            return id(value)
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            with jax.ensure_compile_time_eval():  # also while something else is traced
                value = jax.random.key_data(value)
    return kind, np.shape(value), np.asarray(value).tobytes()


def _is_number(field: dataclasses.Field) -> bool:
    return isinstance(field.default, float) and not field.metadata.get("static")


@meshes.jit_over_lists
def _relax(operator: Operator, x: jax.Array) -> Relaxation:
    scores = finite.sanitise(x)
    operator = _in_dtype(operator, scores.dtype)
    if x.shape[-1] < 2:
        weights, converged = _weights(operator, scores), jnp.ones(x.shape[:-1], bool)
    else:
        weights, converged = operator._solve(scores)
    values = apply(weights, scores)
    return Relaxation(
        _finish_values(operator, x, values), _finish_weights(operator, x, weights), converged
    )


@meshes.jit_over_lists
def _permutation(operator: Operator, x: jax.Array) -> jax.Array:
    scores = finite.sanitise(x)
    operator = _in_dtype(operator, scores.dtype)
    if operator.hard or x.shape[-1] < 2:
        return _finish_weights(operator, x, _weights(operator, scores))
    return operator._permutation_with_nan(scores, finite.has_nan(x)).astype(x.dtype)


@meshes.jit_over_lists
def _sort(operator: Operator, x: jax.Array) -> jax.Array:
    scores = finite.sanitise(x)
    operator = _in_dtype(operator, scores.dtype)
    return _finish_values(operator, x, scores if x.shape[-1] < 2 else operator._sort(scores))


@meshes.jit_over_lists
def _rank(operator: Operator, x: jax.Array) -> jax.Array:
    scores = finite.sanitise(x)
    operator = _in_dtype(operator, scores.dtype)
    ranks = jnp.zeros_like(scores) if x.shape[-1] < 2 else operator._rank(scores)
    exact = None
    if operator.hard:
        exact = jnp.argsort(jnp.argsort(x, axis=-1), axis=-1).astype(x.dtype)
    return _finish(finite.has_nan(x)[..., None], ranks, exact, x.dtype)


@meshes.jit_over_lists
def _sort_by(operator: Operator, keys: jax.Array, rows: jax.Array) -> jax.Array:
    dtype = finite.work_dtype(keys, rows)
    scores, work = finite.sanitise(keys).astype(dtype), rows.astype(dtype)
    operator = _in_dtype(operator, dtype)
    relaxed = work if keys.shape[-1] < 2 else operator._apply(scores, work)
    exact = None
    if operator.hard:
        exact = jnp.take_along_axis(rows, jnp.argsort(keys, axis=-1)[..., None], axis=-2)
    return _finish(finite.has_nan(keys)[..., None, None], relaxed, exact, rows.dtype)


def _weights(operator: Operator, scores: jax.Array) -> jax.Array:
    n = scores.shape[-1]
    return jnp.ones((*scores.shape, n), scores.dtype) if n < 2 else operator._permutation(scores)


def _in_dtype(operator: Operator, dtype: jnp.dtype) -> Operator:
    """Takes the float hyperparameters to the dtype of the computation; keys stay as they are."""

    def cast(leaf: Any) -> Any:
        known = getattr(leaf, "dtype", None)
        number = known is None or jnp.issubdtype(known, np.number)
        return jnp.asarray(leaf, dtype) if number and not jnp.ndim(leaf) else leaf

    return jax.tree.map(cast, operator)


def _finish_values(operator: Operator, x: jax.Array, values: jax.Array) -> jax.Array:
    exact = jnp.sort(x, axis=-1) if operator.hard else None
    return _finish(finite.has_nan(x)[..., None], values, exact, x.dtype)


def _finish_weights(operator: Operator, x: jax.Array, weights: jax.Array) -> jax.Array:
    exact = from_order(jnp.argsort(x, axis=-1), x.dtype) if operator.hard else None
    return _finish(finite.has_nan(x)[..., None, None], weights, exact, x.dtype)


def _finish(
    has_nan: jax.Array, relaxed: jax.Array, exact: jax.Array | None, dtype: jnp.dtype
) -> jax.Array:
    """Applies straight-through and the caller's dtype, and puts NaN where the input had it."""
    if exact is None:
        result = relaxed.astype(dtype)
    else:
        # The difference is exactly zero: every normal number comes out to the last bit.
        # That of two infinities would be NaN.
        surrogate = jnp.where(jnp.isfinite(relaxed), relaxed - lax.stop_gradient(relaxed), 0.0)
        surrogate = surrogate.astype(dtype)
        result = lax.stop_gradient(exact) + surrogate
    return jnp.where(has_nan, jnp.nan, result)
