# SPDX-License-Identifier: Apache-2.0
"""The state of a run on disk. A checkpoint is there in full or not at all, and has no pickle.

Several processes save and restore together, each on the same folder.
"""

from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import NamedSharding

State = TypeVar("State")


class Checkpoints:
    """The checkpoints of one run; the last one is kept."""

    def __init__(self, folder: Path):
        options = ocp.CheckpointManagerOptions(
            max_to_keep=1, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(folder.resolve(), options=options)

    def save(self, step: int, state: State) -> None:
        """Writes a state beside the last one, and only then removes that."""
        if step != self._manager.latest_step():
            self._manager.save(step, args=ocp.args.StandardSave(state))

    def restore(self, like: State) -> State | None:
        """Reads the last state, with the structure of another one; None if there is none."""
        step = self._manager.latest_step()
        if step is None:
            return None
        return jax.tree.map(
            _placed, self._manager.restore(step, args=ocp.args.StandardRestore(like)), like
        )

    def close(self) -> None:
        """Ends the manager's threads."""
        self._manager.close()


def _placed(restored: jax.Array, like: jax.Array) -> jax.Array:
    """Puts a leaf where a fresh state has it, else everything would be compiled again."""
    if isinstance(like.sharding, NamedSharding):
        return restored  # of several devices
    return jnp.asarray(np.asarray(restored))  # not tied to a device
