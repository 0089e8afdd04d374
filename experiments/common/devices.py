# SPDX-License-Identifier: Apache-2.0
"""Several devices share each batch, and several processes may share the devices.

Parameters are on every device of a mesh with one axis, `data`; of a batch each device has its share
of the lists. What is drawn is the same for any number of devices, so a run is too, up to the order
in which numbers are added. With several processes, all do the same; the first one writes and talks.
"""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from absl import flags
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from experiments.common.command_line import FlagError, definers, refused

AXIS = "data"

# How long a process that has nothing left to do waits for the first one, which measures and writes.
SHUTDOWN_SECONDS = 3600

_ALLOWED = "auto, or HOST:PORT,PROCESSES,INDEX with PROCESSES >= 2 and 0 <= INDEX < PROCESSES"

Tree = TypeVar("Tree")


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of a script that can use several devices."""
    define = definers(values)
    define.integer(
        "devices",
        None,
        "Devices that share a batch, of all processes together. (default: as many as can)",
    )
    define.string(
        "distributed",
        None,
        f"For several processes: {_ALLOWED}. auto: as the cluster tells. (default: one process)",
    )


def start(distributed: str | None) -> None:
    """Joins the other processes of a run, before JAX is used for anything.

    Args:
      distributed: The flag of that name; None for a run of one process.

    Raises:
      FlagError: If it is not allowed, or the others cannot be found.
    """
    if distributed is None:
        return
    address, processes, index = _parse(distributed)
    try:
        jax.distributed.initialize(
            address, processes, index, shutdown_timeout_seconds=SHUTDOWN_SECONDS
        )
    except (RuntimeError, ValueError) as error:
        raise FlagError(f"--distributed: received {distributed}, but {error}") from None


def _parse(distributed: str) -> tuple[str | None, int | None, int | None]:
    if distributed == "auto":
        return None, None, None
    found = re.fullmatch(r"([^,\s]+:\d+),(\d+),(\d+)", distributed)
    if not found or not 0 <= int(found[3]) < int(found[2]) or int(found[2]) < 2:
        raise refused("distributed", repr(distributed), _ALLOWED)
    return found[1], int(found[2]), int(found[3])


def choose_mesh(count: int | None, batch_size: int | None = None) -> Mesh | None:
    """The devices that share each batch, as many of each process.

    Args:
      count: The flag `devices`; None for as many as possible.
      batch_size: Lists in a batch, where each device must have as many as the others.

    Returns:
      The mesh, or None where one device has the whole batch.

    Raises:
      FlagError: If so many devices cannot share a batch.
    """
    processes = jax.process_count()
    most = processes * min(_local(i).size for i in range(processes))
    shares = range(processes, most + 1, processes)
    even = [d for d in shares if batch_size is None or batch_size % d == 0]
    if not even:
        allowed = f"a multiple of the {processes} processes"
        raise refused("batch_size", batch_size, allowed)
    count = even[-1] if count is None else count
    if count not in even:
        if not 1 <= count <= most:
            allowed = f"1 to {most}, of which there are"
        elif count % processes:
            allowed = f"a multiple of the {processes} processes"
        else:
            allowed = f"a divisor of the {batch_size} of --batch_size"
        raise refused("devices", count, allowed)
    if count == 1:
        return None
    chosen = [_local(i)[: count // processes] for i in range(processes)]
    return Mesh(np.concatenate(chosen), (AXIS,), axis_types=(AxisType.Auto,))


def _local(process: int) -> np.ndarray:
    return np.array([d for d in jax.devices() if d.process_index == process])


def describe(mesh: Mesh | None) -> str:
    """Says how many devices are used, of how many."""
    used = 1 if mesh is None else mesh.size
    several = f", in {jax.process_count()} processes" if jax.process_count() > 1 else ""
    return f"{used} of {jax.device_count()} ({jax.devices()[0].device_kind}){several}"


def replicate(tree: Tree, mesh: Mesh | None) -> Tree:
    """Puts arrays, the same in each process, on all devices of a mesh."""
    if mesh is None:
        return jax.device_put(tree)
    everywhere = NamedSharding(mesh, PartitionSpec())

    def put(leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = put(jax.random.key_data(leaf))
            return jax.jit(lambda d: jax.random.wrap_key_data(d, impl=jax.random.key_impl(leaf)))(
                data
            )
        host = np.asarray(leaf)  # not device_put, which compares what the processes have each time
        return jax.make_array_from_callback(host.shape, everywhere, lambda index: host[index])

    return jax.tree.map(put, tree)


def shared(tree: Tree, mesh: Mesh | None) -> Tree:
    """Tells the compiler to share the leading axis of arrays among the devices."""
    return _constrained(tree, mesh, PartitionSpec(AXIS))


def whole(tree: Tree, mesh: Mesh | None) -> Tree:
    """Tells the compiler to have arrays whole on each device, where every process can read them."""
    return _constrained(tree, mesh, PartitionSpec())


def _constrained(tree: Tree, mesh: Mesh | None, spec: PartitionSpec) -> Tree:
    if mesh is None:
        return tree
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, spec))


def first() -> bool:
    """Tells whether this is the process that writes and talks."""
    # Asked in this order, since a script that only writes must not occupy the devices.
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def settings(values: flags.FlagValues) -> dict[str, Any]:
    """All flags of a script but the one in which the processes differ."""
    return {name: values[name].value for name in sorted(values) if name != "distributed"}


def decide(find: Callable[[], str], settings: Any) -> str:
    """What the first process finds, e.g. the folder to write to, in all of them.

    Args:
      find: Called in the first process alone; what it raises ends the others too.
      settings: Plain values that must be the same in all processes.

    Raises:
      FlagError: If the settings differ, or, in the others, if the first one's `find` raised.
    """
    if jax.process_count() == 1:
        return find()
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).digest()
    digests = multihost_utils.process_allgather(np.frombuffer(digest, np.uint8))
    if (digests != digests[0]).any():
        raise FlagError("--distributed: the processes were not given the same settings")
    found, error = "", None
    if first():
        try:
            found = find()
        except Exception as raised:  # told to the others, then raised again
            error = raised
    told = _tell(json.dumps({"found": found, "error": None if error is None else str(error)}))
    if error is not None:
        raise error
    if told["error"] is not None:
        raise FlagError(told["error"])
    return told["found"]


def _tell(text: str) -> Any:
    """Gives all processes the JSON of the first one."""
    data = np.frombuffer(text.encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(data.size)))
    mine = data if first() else np.zeros(size, np.uint8)
    return json.loads(bytes(multihost_utils.broadcast_one_to_all(mine)).decode())


def agreed(requested: bool) -> bool:
    """Tells whether any process was asked to stop; all must ask at the same step."""
    if jax.process_count() == 1:
        return requested
    return bool(np.any(multihost_utils.process_allgather(np.array(requested))))
