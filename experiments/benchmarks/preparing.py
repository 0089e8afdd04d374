# SPDX-License-Identifier: Apache-2.0
"""Programs of a benchmark, ready to run: compiled or set up once, apart from what is timed.

Forward is the function itself. Backward is forward and backward: the result, and the gradient of a
fixed weighted sum of it with respect to the scores.
"""

import concurrent.futures
import contextlib
import dataclasses
import math
import mmap
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DIRECTIONS = ("forward", "backward")


class Skipped(Exception):
    """A program that is not run, and why."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A program that is ready to run.

    Attributes:
      run: Runs it.
      ready_seconds: What it took to compile (JAX) or to set up (others).
      bytes: Temporary memory and output, where known.
    """

    run: Callable[[], Any]
    ready_seconds: float
    bytes: int | None


def prepare(
    function: Callable[[], Callable[[Any], Any]],
    framework: str,
    direction: str,
    x: np.ndarray,
    mix: Any,
    max_bytes: float = math.inf,
) -> Prepared:
    """Makes a program ready: everything that is done once is done here, and timed apart.

    Args:
      function: Gives the function of the scores.
      framework: What the function is written in.
      direction: `forward` or `backward`.
      x: Scores.
      mix: Weights of the sum that is differentiated, in the shapes of the result.
      max_bytes: What a JAX program may use.

    Raises:
      Skipped: If it would use more, or has no gradient.
    """
    if framework == "numpy" and direction == "backward":
        raise Skipped("no gradient")
    return {"jax": _jax_program, "torch": _torch_program, "numpy": _numpy_program}[framework](
        function, direction, x, mix, max_bytes
    )


def _jax_program(
    function: Callable[[], Callable[[Any], Any]],
    direction: str,
    x: np.ndarray,
    mix: Any,
    max_bytes: float,
) -> Prepared:
    arguments = jax.tree.map(jnp.asarray, (x,) if direction == "forward" else (x, mix))
    jax.clear_caches()  # of traces of the same function for another program
    start = time.perf_counter()
    forward = function()

    def backward(x: jax.Array, mix: Any) -> tuple[Any, jax.Array]:
        result, pull = jax.vjp(forward, x)
        return result, pull(mix)[0]

    return _compiled(forward if direction == "forward" else backward, arguments, start, max_bytes)


def _compiled(
    function: Callable[..., Any], arguments: tuple[Any, ...], start: float, max_bytes: float
) -> Prepared:
    compiled: Any = jax.jit(function).lower(*arguments).compile()
    ready = time.perf_counter() - start
    memory = compiled.memory_analysis()
    used = memory.temp_size_in_bytes + memory.output_size_in_bytes
    if used > max_bytes:
        raise Skipped(f"needs {used / 1e9:.1f} GB")
    return Prepared(lambda: compiled(*arguments), ready, used)


def movement(direction: str, mix: np.ndarray) -> Prepared:
    """The least that P costs: to write it and, with the gradient, to read its cotangent once.

    The array that is written is new each time, as a result is. With the gradient it is a copy. On a
    CPU each run asks the system for the memory, in small pages. What a process has kept from before
    is several times as fast to write, and whether it has any depends on what ran before.

    Args:
      direction: `forward` or `backward`.
      mix: An array of the shape of P.
    """
    start = time.perf_counter()
    if jax.default_backend() == "cpu":
        cores = os.cpu_count() or 1
        copied = direction == "backward"
        sources = np.array_split(mix.reshape(-1), cores) if copied else [1.0] * cores

        def pages() -> mmap.mmap:
            found = mmap.mmap(-1, mix.nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            with contextlib.suppress(AttributeError, OSError):  # where there are no others
                found.madvise(mmap.MADV_NOHUGEPAGE)
            return found

        pool = concurrent.futures.ThreadPoolExecutor(cores)

        def fill() -> np.ndarray:
            memory = np.frombuffer(pages(), mix.dtype)
            list(pool.map(np.copyto, np.array_split(memory, cores), sources))
            return memory.reshape(mix.shape)

        return Prepared(fill, time.perf_counter() - start, mix.nbytes)
    cotangent = jnp.asarray(mix)

    def write(number: jax.Array) -> jax.Array:
        return jnp.broadcast_to(number, cotangent.shape)

    if direction == "forward":
        return _compiled(write, (jnp.float32(1.0),), start, math.inf)
    return _compiled(jnp.copy, (cotangent,), start, math.inf)


def _torch_program(
    function: Callable[[], Callable[[Any], Any]],
    direction: str,
    x: np.ndarray,
    mix: Any,
    max_bytes: float,
) -> Prepared:
    import torch

    start = time.perf_counter()
    forward = function()
    ready = time.perf_counter() - start
    scores, weights = torch.tensor(x), torch.tensor(mix)

    def run_forward() -> Any:
        with torch.no_grad():
            return forward(scores).numpy()

    def run_backward() -> Any:
        leaf: Any = scores.clone().requires_grad_()
        result = forward(leaf)
        result.backward(weights)
        return result.detach().numpy(), leaf.grad.numpy()

    return Prepared(run_forward if direction == "forward" else run_backward, ready, None)


def _numpy_program(
    function: Callable[[], Callable[[Any], Any]],
    direction: str,
    x: np.ndarray,
    mix: Any,
    max_bytes: float,
) -> Prepared:
    start = time.perf_counter()
    forward = function()
    return Prepared(lambda: forward(x), time.perf_counter() - start, None)
