# SPDX-License-Identifier: Apache-2.0
"""The interface of every sorting operator, and the code that they share.

`Operator` is a template: it checks the input, chooses the dtype of the computation, keeps NaN and
infinities away from the relaxation, and makes the straight-through estimator. A subclass only turns
scores into weights.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

import jax
import numpy as np
from jax import lax

from arlsort import checks
from arlsort.numerics import finite, rowwise
from arlsort.operators import calls, hooks, hyperparameters, masked, selection
from arlsort.operators.calls import Relaxation

Class = TypeVar("Class", bound=type)

STATIC = {"static": True}
"""Metadata of the dataclass fields that are compiled in (strings, flags, counts)."""

REGISTERED: list[type["Operator"]] = []
"""The classes of operators, in the order of their definition; for wording errors."""


def softmax(logits: jax.Array, temperature: jax.typing.ArrayLike) -> jax.Array:
    """Computes `softmax(logits / temperature)` over the last axis without overflow."""
    below = logits - lax.stop_gradient(logits.max(axis=-1, keepdims=True))
    return rowwise.normalised_exp(below, temperature)


def register(cls: Class) -> Class:
    """Makes an operator class a pytree: its float hyperparameters and keys are the leaves.

    Unlike `jax.tree_util.register_dataclass`, unflattening checks nothing. So trees of gradients,
    axes, masks or labels may have the structure of an operator.
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
class Operator(hooks.Hooks):
    """One relaxation of sorting: scores in, soft order out.

    Operators are frozen dataclasses and JAX pytrees. Their float hyperparameters are leaves, so
    changing a temperature, also inside `jit`, never recompiles; strings, flags and counts are
    compiled in. Every method acts on the last axis, for any leading batch dimensions, and no row's
    result depends on another row.

    All operators keep these rules:

    * The dtype of the result is that of the input; float16 and bfloat16 are computed in float32.
    * A NaN anywhere in a row makes that row's result NaN, and its gradient zero.
    * Scores are clipped to `[-M, M]` with `M = finfo(dtype).max / 2**16` of the dtype of the
      computation, so that no difference or sum overflows: an infinity counts as `±M`.
    * A temperature may be any number > 0. It is clipped to `[1 / M, M]`; beyond that you get the
      cold or hot limit. A traced one that is not positive makes all results NaN.
    * Ranks and soft indices are within [0, n - 1], rounded to the dtype of the result.
    * Two operators are equal if their classes and all fields are: numbers by value, arrays and keys
      by dtype, shape and every bit (an array never equals a number), tracers by identity. Equal
      ones have equal hashes; traced ones have none.
    * `hard=True` is the straight-through estimator: exact values and a one-hot permutation (ties
      by index, as `jnp.argsort` and `lax.top_k`) forward, the gradient of the relaxation backward.
    * With `descending=True` the largest is at position 0.

    Attributes:
      hard: Whether to return the exact sort with the gradient of the relaxation.
    """

    hard: bool = dataclasses.field(default=False, kw_only=True, metadata=STATIC)

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
            hyperparameters.same(getattr(self, field.name), getattr(other, field.name))
            for field in dataclasses.fields(self)
        )

    def __hash__(self) -> int:
        parts: list[Any] = [type(self)]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, jax.core.Tracer):
                received = f"a traced {field.name}"
                raise TypeError(checks.error_message("hash", received, "concrete values"))
            parts.append(hyperparameters.identity(value))
        return hash(tuple(parts))

    @property
    def needs_key(self) -> bool:
        """Whether it draws random numbers, and so needs its field `key` set before a call."""
        return False

    @property
    def exact_forward(self) -> bool:
        """Whether values and weights are exact, so that gradients are of another function."""
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
        return calls.relax(self, self._check(x, descending, weights=True), descending=descending)

    def permutation(
        self, x: jax.Array, *, descending: bool = False, where: jax.Array | None = None
    ) -> jax.Array:
        """Returns the soft permutation `[..., n, n]` of scores `[..., n]`; raises as a call.

        With a mask `where` it is that of the items alone, in the first rows and in the columns of
        the items; all else is zero. The same holds in every method.
        """
        x = self._check(x, descending, weights=True)
        if where is not None:
            mask = checks.check_mask("where", where, x.shape)
            return masked.permutation(self, x, mask, descending=descending)
        return calls.permutation(self, x, descending=descending)

    def sort(
        self, x: jax.Array, *, descending: bool = False, where: jax.Array | None = None
    ) -> jax.Array:
        """Returns the soft values `[..., n]` of scores `[..., n]`, at the least cost.

        Raises:
          TypeError: If `x` is not a floating array, or `where` not a boolean one.
          ValueError: If `x` is a scalar or longer than the operator allows.
        """
        x = self._check(x, descending)
        if where is not None:
            mask = checks.check_mask("where", where, x.shape)
            return masked.sort(self, x, mask, descending=descending)
        return calls.sort(self, x, descending=descending)

    def sort_by(
        self,
        keys: jax.Array,
        rows: jax.Array,
        *,
        descending: bool = False,
        where: jax.Array | None = None,
    ) -> jax.Array:
        """Puts rows in the soft order of their keys, without forming the weights if avoidable.

        Args:
          keys: Scores `[..., n]`, floating.
          rows: `[..., n, d]`, floating. NaN keys make all rows of that list NaN; NaN and infinity
            in a row spread to wherever the row has weight.
          descending: Whether the row with the largest key comes first.
          where: Mask of the items, `[..., n]`; None for all.

        Returns:
          `permutation(keys) @ rows`, of the shape and dtype of `rows`.

        Raises:
          TypeError: If an argument is not a floating array.
          ValueError: If shapes do not match, or the operator cannot sort rows.
        """
        keys = self._check(keys, descending, "keys", weights=True)
        rows = checks.check_scores("rows", rows)
        if rows.shape[:-1] != keys.shape:
            allowed = f"{(*keys.shape, 'd')} for keys of shape {keys.shape}"
            raise ValueError(checks.error_message("rows", f"shape {rows.shape}", allowed))
        if where is not None:
            mask = checks.check_mask("where", where, keys.shape, "keys")
            return masked.sort_by(self, keys, rows, mask, descending=descending)
        return calls.sort_by(self, keys, rows, descending=descending)

    def argsort(
        self, x: jax.Array, *, descending: bool = False, where: jax.Array | None = None
    ) -> jax.Array:
        """Returns the soft index `[..., n]` of the input at every position; raises as a call."""
        x = self._check(x, descending, weights=True)
        indices = lax.broadcasted_iota(finite.work_dtype(x), (*x.shape, 1), x.ndim - 1)
        if where is None:
            soft = calls.sort_by(self, x, indices, descending=descending, indices=True)
        else:
            mask = checks.check_mask("where", where, x.shape)
            soft = masked.sort_by(self, x, indices, mask, descending=descending, indices=True)
        return finite.positions(soft[..., 0], x.shape[-1], x.dtype)

    def rank(
        self, x: jax.Array, *, descending: bool = False, where: jax.Array | None = None
    ) -> jax.Array:
        """Returns the soft ranks `[..., n]` of scores `[..., n]`, 0-based, at the least cost.

        Raises:
          TypeError: If `x` is not a floating array, or `where` not a boolean one.
          ValueError: If `x` is a scalar or longer than the operator allows, or if the operator has
            neither weights nor ranks of its own.
        """
        x = self._check(x, descending, weights=type(self)._rank is hooks.Hooks._rank)
        if where is not None:
            mask = checks.check_mask("where", where, x.shape)
            return masked.rank(self, x, mask, descending=descending)
        return calls.rank(self, x, descending=descending)

    def top_k(
        self, x: jax.Array, k: int, *, where: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Returns the k softly largest values `[..., k]` and their weights `[..., k, n]`.

        They are the first rows of `operator(x, descending=True)`, without the others if avoidable.

        Raises:
          TypeError: If `x` is not a floating array, or `where` not a boolean one.
          ValueError: If k is not from 0 to n, or as a call.
        """
        x = self._check(x, weights=True)
        k = checks.check_places(k, x.shape[-1])
        mask = None if where is None else checks.check_mask("where", where, x.shape)
        return selection.top_k(self, x, mask, k=k)

    def top_k_mask(self, x: jax.Array, k: int, *, where: jax.Array | None = None) -> jax.Array:
        """Returns how much each score is one of the k largest: in [0, 1], together k.

        Raises:
          TypeError: If `x` is not a floating array, or `where` not a boolean one.
          ValueError: If k is not from 0 to n, or if the operator has neither weights nor such a
            mask of its own.
        """
        x = self._check(x, weights=type(self)._mask is hooks.Hooks._mask)
        k = checks.check_places(k, x.shape[-1])
        mask = None if where is None else checks.check_mask("where", where, x.shape)
        return selection.top_k_mask(self, x, mask, k=k)

    def _check(
        self, x: Any, descending: bool = False, argument: str = "x", *, weights: bool = False
    ) -> jax.Array:
        checks.check_flag("descending", descending)
        if weights and not self.has_permutation:
            able = (cls.__name__ for cls in REGISTERED if cls.has_permutation)
            received = f"{type(self).__name__}, which has values only"
            raise ValueError(checks.error_message("operator", received, checks.one_of(able)))
        scores = checks.check_scores(argument, x)
        self._check_hyperparameters()
        self._validate_length(scores.shape[-1])
        return scores

    def _check_hyperparameters(self) -> None:
        """Checks hyperparameters when the operator is called."""
        for field in dataclasses.fields(self):
            # A traced value could not be told from a batched one when it was set.
            shape = np.shape(getattr(self, field.name)) if _is_number(field) else ()
            if shape:
                allowed = "a scalar; use jax.vmap for several"
                raise ValueError(checks.error_message(field.name, f"shape {shape}", allowed))
        if self.needs_key:
            checks.check_key(type(self).__name__, getattr(self, "key", None))


def _is_number(field: dataclasses.Field) -> bool:
    return isinstance(field.default, float) and not field.metadata.get("static")
