# SPDX-License-Identifier: Apache-2.0
"""A relaxed program as it runs: its state and its weights, step by step."""

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from arlsort import checks
from arlsort.networks.swaps import DISTRIBUTIONS
from arlsort.plot import common
from arlsort.programs import states
from arlsort.programs.relaxed import TEMPERATURE, Relaxer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SEEN = 1e-3  # a step with less weight than this is not drawn, if none after it has more


@dataclasses.dataclass(frozen=True)
class _Watched(Relaxer):
    """A `Relaxer` that notes, of every loop, the states that its condition is asked about."""

    loops: list[list[tuple[Any, jax.Array]]] = dataclasses.field(default_factory=list)

    def while_(self, condition: Any, body: Any, state: Any, **options: Any) -> Any:
        """Runs the loop as it is, and notes it."""
        seen: list[tuple[Any, jax.Array]] = []
        self.loops.append(seen)

        def noted(state: Any) -> jax.Array:
            weight = self._decided(condition(state))
            seen.append((state, weight))
            return weight

        return super().while_(noted, body, state, **options)


def program(
    layer: Any,
    *inputs: Any,
    temperature: ArrayLike = TEMPERATURE,
    distribution: str = "logistic",
    hard: bool = False,
    loop: int = 0,
    **settings: Any,
) -> "Figure":
    """Draws a loop of a relaxed program: its state after every step, and the weight to stop there.

    Each float of the state has a panel over the steps: a number is a line, an array a picture with
    an element in a row. The bars at the bottom are the weights to stop after each step. A dashed
    line is the number that the loop returns, the mean of all states by these weights.

    The program runs once, operation by operation, not compiled. Last steps with hardly any weight
    are left out.

    Args:
      layer: What `programs.relaxed` made, with a loop by `r.while_` in it.
      *inputs: Of one example.
      temperature: As the layer takes it.
      distribution: As the layer takes it.
      hard: Whether to draw the exact program.
      loop: Which loop, if there are several, in the order in which they begin.
      **settings: Those of the layer.

    Returns:
      The figure.

    Raises:
      TypeError: If `layer` is no relaxed program.
      ValueError: If an argument is not allowed, inputs are a batch, or there is no such loop:
        `programs.for_` has no weights to draw.
      ImportError: Without matplotlib.

    Example:
      >>> import jax.numpy as jnp
      >>> from arlsort import programs
      >>> figure = program(programs.algorithms.multiply, jnp.array(1.5), jnp.array(2.0))
      >>> [ax.get_ylabel() for ax in figure.axes]
      ['left', 'total', 'weight']
    """
    if not _is_layer(layer):
        allowed = "a function that arlsort.programs.relaxed returned"
        raise TypeError(checks.error_message("layer", type(layer).__name__, allowed))
    checks.check_positive("temperature", temperature)
    checks.check_choice("distribution", distribution, tuple(DISTRIBUTIONS))
    checks.check_flag("hard", hard)
    watched = _Watched(temperature, distribution, hard)
    with jax.disable_jit():
        layer.__wrapped__(watched, *jax.tree.map(jnp.asarray, inputs), **settings)
    loops = [seen for seen in watched.loops if _is_one(seen)]
    checks.check_integer("loop", loop)
    if not 0 <= loop < len(loops):
        batched = [np.shape(weight) for seen in watched.loops for _, weight in seen]
        if not loops and any(batched):
            received = f"a batch of shape {next(filter(None, batched))}"
            raise ValueError(checks.error_message("inputs", received, "one example"))
        allowed = f"0 to {len(loops) - 1}" if loops else "a program with a loop by r.while_"
        raise ValueError(checks.error_message("loop", loop, allowed))
    leaves, weights = _steps(loops[loop])
    return _drawn(leaves, weights)


def _is_layer(layer: Any) -> bool:
    """Whether `programs.relaxed` made it: what else wraps a function has other keywords."""
    if not hasattr(layer, "__wrapped__"):
        return False
    return {"temperature", "distribution", "hard"} <= set(inspect.signature(layer).parameters)


def _is_one(seen: list[tuple[Any, jax.Array]]) -> bool:
    """Whether a loop is of one example, with numbers that are known."""
    leaves = jax.tree.leaves(seen)
    known = not any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
    return known and all(np.ndim(weight) == 0 for _, weight in seen)


def _steps(seen: list[tuple[Any, jax.Array]]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Every float of the state over the steps, `[steps, ...]`, and the weights to stop there."""
    running = np.cumprod([np.asarray(weight, float) for _, weight in seen])
    weights = -np.diff(running, prepend=1.0)
    weights[-1] += running[-1]  # where the loop has to end
    (heavy,) = np.nonzero(weights > _SEEN)
    count = heavy[-1] + 1 if len(heavy) else len(weights)
    paths, _ = jax.tree_util.tree_flatten_with_path(seen[0][0])
    every = [jax.tree.leaves(state) for state, _ in seen[:count]]
    leaves = {
        _name(path): np.array([state[place] for state in every], float)
        for place, (path, leaf) in enumerate(paths)
        if states.is_float(leaf)
    }
    return leaves, weights[:count]


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".") or "state"


def _drawn(leaves: dict[str, np.ndarray], weights: np.ndarray) -> "Figure":
    heights = [1.0 if leaf.ndim == 1 else 1.6 for leaf in leaves.values()]
    figure, axes = common.pyplot().subplots(
        *(len(leaves) + 1, 1),
        figsize=(2.5 + 0.35 * min(len(weights), 20), 1.3 * (sum(heights) + 1)),
        height_ratios=(*heights, 1.0),
        layout="constrained",
        sharex=True,
        squeeze=False,
    )
    *panels, last = axes[:, 0]
    for ax, (name, leaf) in zip(panels, leaves.items(), strict=True):
        if leaf.ndim == 1:
            ax.plot(leaf, marker=".")
            ax.axhline(weights @ leaf / weights.sum(), color="0.4", linestyle="--")
            ax.grid(alpha=0.3)
        else:
            picture = ax.imshow(leaf.reshape(len(leaf), -1).T, aspect="auto", cmap="viridis")
            figure.colorbar(picture, ax=ax)
        ax.set_ylabel(name)
    last.bar(range(len(weights)), weights, color="C1")
    last.set(xlabel="step", ylabel="weight", ylim=(0, 1))
    last.xaxis.get_major_locator().set_params(integer=True)
    return figure
