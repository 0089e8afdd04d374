# SPDX-License-Identifier: Apache-2.0
"""How a learning rate changes over the steps of a run."""

import optax

CONSTANT, COSINE = "constant", "cosine"
SCHEDULES = (CONSTANT, COSINE)
"""By the second the rate falls to zero over all the steps."""


def scheduled(learning_rate: float, schedule: str, steps: int) -> optax.ScalarOrSchedule:
    """The rate that an optimiser takes, by one of `SCHEDULES`."""
    if schedule == COSINE:
        return optax.cosine_decay_schedule(learning_rate, steps)
    return learning_rate
