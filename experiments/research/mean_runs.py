# SPDX-License-Identifier: Apache-2.0
"""How far what a reasoner says is from the mean run of its sort, under noise.

For random lists the mean trace of a sort and the mean permutation are estimated from many perturbed
copies. Of each P that is read from a network, or from the mean trace itself, there are the
Kullback-Leibler distance from the mean permutation and the share of neighbours in the wrong order.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from arlsort.numerics import noise as laws
from arlsort.operators.learned import LearnedSort, LogTrace
from arlsort.reasoner import run_readout
from arlsort.reasoner.hints import mean_trace
from arlsort.reasoner.readout import READOUTS, permutation

LISTS = 40
COPIES = 10_000
_TINY = 1e-9


def settings(spreads: Sequence[float]) -> dict[str, Any]:
    """How distances are measured, for a report."""
    return {"spreads": list(spreads), "lists": LISTS, "copies": COPIES}


def mean_run(algorithm: str, copies: jax.Array) -> tuple[Any, jax.Array]:
    """The mean trace of a sort, as `hints.mean_trace`, and the mean permutation `[n, n]`."""
    orders = jax.nn.one_hot(jnp.argsort(copies, axis=-1), copies.shape[-1])
    return mean_trace(algorithm, copies), orders.mean(axis=0)


def exact(algorithm: str, trace: Any) -> dict[str, jax.Array]:
    """What each readout makes of the exact mean trace."""
    hints, pred, first = trace
    steps = {name: jnp.log(weights[1:] + _TINY) for name, weights in hints.items()}
    logs = jnp.log(pred + _TINY), jnp.log(first + _TINY)
    return {
        "steps": run_readout.of_whole_run(algorithm, steps),
        **{readout: permutation(*logs, readout=readout) for readout in READOUTS},
    }


def learned(operator: LearnedSort, said: LogTrace, scores: jax.Array) -> dict[str, jax.Array]:
    """What each readout makes of what the network says of the scores."""
    two_ended = dataclasses.replace(operator, readout="two_ended").permutation(scores)
    if operator.algorithm not in run_readout.READERS:
        return {"two_ended": two_ended}
    steps = run_readout.of_whole_run(operator.algorithm, said.log_hints)
    return {"steps": steps, "run": run_readout.both(steps, two_ended), "two_ended": two_ended}


def divergence(truth: jax.Array, weights: jax.Array) -> jax.Array:
    """Kullback-Leibler distance of rows `[..., n, n]`, mean over them."""
    logs = jnp.log(truth + _TINY) - jnp.log(weights + _TINY)
    return jnp.sum(truth * logs, axis=-1).mean()


def compare(
    operator: LearnedSort, noise: str, n: int, spread: float, reads_exact: bool = False
) -> dict[str, Any]:
    """Distance and disorder of each readout over random lists.

    Args:
      operator: Of scores as they are, in units of the noise.
      noise: The law that its network has learned.
      n: Length of the lists.
      spread: Range that scores are drawn from.
      reads_exact: Whether to read the exact mean trace too.
    """
    k_scores, k_noise = jax.random.split(jax.random.key(n))
    scores = spread * jax.random.uniform(k_scores, (LISTS, n))

    def one(at: tuple[jax.Array, jax.Array]) -> Any:
        x, key = at
        copies = x[None] + laws.sample(key, noise, (COPIES, n))
        trace, truth = mean_run(operator.algorithm, copies)
        said = operator.log_trace(x)
        readings = {"learned": learned(operator, said, x)}
        if reads_exact:
            readings["exact"] = exact(operator.algorithm, trace)
        measured = {
            source: {
                name: {
                    "divergence": divergence(truth, weights),
                    "disorder": (jnp.diff(weights @ x) < -1e-3 * spread).mean(),
                }
                for name, weights in each.items()
            }
            for source, each in readings.items()
        }
        return {**measured, "pointers": divergence(trace[1], jnp.exp(said.log_predecessor))}

    keys = jax.random.split(k_noise, LISTS)
    found = jax.jit(lambda scores: jax.lax.map(one, (scores, keys)))(scores)
    means = jax.tree.map(lambda leaf: round(float(leaf.mean()), 5), found)
    return {"algorithm": operator.algorithm, "noise": noise, "n": n, "spread": spread, **means}
