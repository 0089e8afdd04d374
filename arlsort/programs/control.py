# SPDX-License-Identifier: Apache-2.0
"""Relaxed control flow: `if_`, `while_` and `for_` over states that are any pytree."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.checks import error_message
from arlsort.programs import states

Body = Callable[[Any, Any], Any]


def if_(weight: ArrayLike, then: Any, otherwise: Any, *operands: Any) -> Any:
    """Mixes the states of two branches: `p then + (1 - p) otherwise`; `Relaxer.if_` explains."""
    p = states.check_weight("condition", weight)
    if operands or callable(then) or callable(otherwise):
        then, otherwise = (
            branch(*operands) if callable(branch) else branch for branch in (then, otherwise)
        )
    return states.mix(p, then, otherwise)


def for_(
    count: int, body: Body, state: Any, *, stop: ArrayLike | None = None, remat: bool = False
) -> Any:
    """Runs `state = body(i, state)` for i = 0, 1, ..., count - 1, compiled once.

    Args:
      count: How many passes, static.
      body: A function of the index, an integer scalar, and the state; it returns a state of the
        same structure, shapes and dtypes.
      state: Any pytree. Python numbers in it become arrays.
      stop: If given, only the passes with `i < stop` count. It may be traced, and is cut off at
        `count`.
      remat: Whether to compute the passes again in the backward pass instead of keeping them.

    Returns:
      The last state.

    Raises:
      TypeError: If `count` is not a static integer.
      ValueError: If it is negative, or `stop` is not a scalar or known to be larger, or the body
        changes the structure, a shape or a dtype.

    Example:
      >>> print(for_(4, lambda i, s: s + i, 0.5, stop=3))
      3.5
    """
    count = checks.check_integer("count", count)
    if count < 0:
        raise ValueError(error_message("count", count, "an int >= 0"))
    if stop is not None:
        if np.ndim(stop):
            raise ValueError(error_message("stop", f"shape {np.shape(stop)}", "a scalar"))
        # By NumPy: of JAX, under `jax.jit`, the comparison would not be known.
        if not isinstance(stop, jax.core.Tracer) and np.asarray(stop) > count:
            raise ValueError(error_message("stop", stop, f"at most count, {count}"))
    start = states.canonical(state)
    kept: list[bool] = []

    def step(s: Any, i: jax.Array) -> tuple[Any, None]:
        if stop is None:
            return _pass(body, i, s, kept), None
        # Skipped if all rows share one answer; else both are computed.
        return lax.cond(i < stop, lambda s: _pass(body, i, s, kept), lambda s: s, s), None

    if count == 0:
        return start
    end, _ = lax.scan(jax.checkpoint(step) if remat else step, start, jnp.arange(count))
    return _restore(start, end, kept)


def while_(
    condition: Callable[[Any], ArrayLike],
    body: Body,
    state: Any,
    *,
    max_steps: int | None = None,
    tolerance: float = 0.0,
    skip: bool = False,
    remat: bool = False,
) -> Any:
    """Mixes the states after 0, 1, ... passes by the weight to stop there; `Relaxer.while_`."""
    if max_steps is None:
        raise ValueError(error_message("max_steps", None, "an int >= 1, the most passes there are"))
    checks.check_count("max_steps", max_steps)
    start = states.canonical(state)
    p = states.check_weight("condition", condition(start))
    kept: list[bool] = []

    def advance(carry: Any, k: jax.Array) -> Any:
        s, p, total = carry
        live = p > tolerance  # what has stopped stays as it is, so that nothing grows out of bounds
        live |= jnp.isnan(p)
        # Its passes start over, unseen: where it has come to, a pass may have no finite gradient.
        at = states.select_floats(live, s, lax.stop_gradient(start))
        new = states.select_floats(live, _pass(body, k, at, kept, integers=False), s)
        again = states.check_weight("condition", condition(new)).astype(p.dtype)
        if again.shape != p.shape:
            received = f"shape {again.shape} after a pass"
            raise ValueError(error_message("condition", received, f"shape {p.shape}, as before"))
        now = jnp.where(live, p * again, p)
        return new, now, states.add(total, p - now, new)

    def step(carry: Any, k: jax.Array) -> tuple[Any, None]:
        if not skip:
            return advance(carry, k), None
        alive = jnp.any(~(carry[1] <= tolerance))
        return lax.cond(alive, advance, lambda carry, k: carry, carry, k), None

    carry = (start, p, states.weighted(1 - p, start))
    step_or_again = jax.checkpoint(step) if remat else step
    (s, p, total), _ = lax.scan(step_or_again, carry, jnp.arange(max_steps))
    end = states.add(total, p, s)
    end = jax.tree.map(lambda sum_, like: sum_.astype(like.dtype), end, start)
    return _restore(start, end, kept)


def _pass(body: Body, index: jax.Array, state: Any, kept: list[bool], integers: bool = True) -> Any:
    """One pass of a loop, checked; notes which leaves no pass returned other than they came."""
    same: list[bool] = []

    def leaf(name: str, old: jax.Array, new: Any) -> jax.Array:
        same.append(new is old)
        if new is old:
            return old
        if not integers and not states.is_float(old):
            received = f"{old.dtype} that a pass changes"
            raise ValueError(error_message(name, received, "floats, or the number of the pass"))
        return states.fitted(name, new, old)

    end = states.pairwise(leaf, state, body(index, state), "the state after a pass")
    kept[:] = [a and b for a, b in zip(kept or same, same, strict=True)]
    return end


def _restore(start: Any, end: Any, kept: list[bool]) -> Any:
    """Restores leaves that no pass changes, so that they are known to be the same."""
    if not kept:  # run op by op, and no pass was
        return end
    before, tree = jax.tree.flatten(start)
    after = jax.tree.leaves(end)
    rows = zip(before, after, kept, strict=True)
    return jax.tree.unflatten(tree, [old if same else new for old, new, same in rows])
