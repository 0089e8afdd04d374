# SPDX-License-Identifier: Apache-2.0
"""The optimiser of the four-digit experiment."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.four_digits.config import resolve
from experiments.four_digits.training import Task


def moves(**given: object) -> np.ndarray:
    """How far Adam moves a parameter in each step, under a gradient that stays the same."""
    config, _ = resolve({"operators": ["hard"], **given})
    optimizer = Task.of(config, "bce").optimizer
    state, found = optimizer.init(jnp.zeros(())), []
    for _ in range(config.steps):
        update, state = optimizer.update(jnp.ones(()), state)
        found.append(-float(update))
    return np.array(found)


def test_a_constant_rate_stays_and_a_cosine_falls_to_zero():
    given = {"steps": 10, "learning_rate": 0.01}
    assert moves(**given, schedule="constant") == pytest.approx(np.full(10, 0.01), rel=1e-3)
    falling = 0.005 * (1 + np.cos(np.pi * np.arange(10) / 10))
    assert moves(**given, schedule="cosine") == pytest.approx(falling, rel=1e-3)
