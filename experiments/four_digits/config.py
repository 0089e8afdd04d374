# SPDX-License-Identifier: Apache-2.0
"""The settings of the four-digit experiment, completed and checked."""

import dataclasses
import difflib
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

import jax

from arlsort import operators
from arlsort.operators.base import Operator
from experiments.common import identities, rates
from experiments.common.command_line import FlagError, refused
from experiments.common.datasets import DATASETS, EMBEDDED
from experiments.common.methods import check_distinct, read_specs
from experiments.four_digits import losses
from experiments.four_digits.convolution import PRECISIONS
from experiments.four_digits.sampling import RESOLUTIONS

NO_OPERATOR = "loss:"
"""What a method without an operator begins with; a loss that needs none follows."""

OPERATORS = (
    "amortized:temperature=1",  # on few digits; see docs/research/trials.md
    "odd_even",
    "odd_even:distribution=logistic",
    "neuralsort",
)

QUICK: Mapping[str, Any] = {
    "dataset": EMBEDDED,
    "download": False,
    "resolution": "full",
    "n": 5,
    "operators": OPERATORS,
    "loss": "auto",
    "seeds": 3,
    "steps": 400,
    "batch_size": 100,
    "learning_rate": 1e-3,
    "schedule": rates.CONSTANT,
    "channels": (32, 64),
    "eval_every": 50,
    "validation_lists": 500,
    "test_lists": 2000,
    "checkpoint_seconds": 60.0,
    "precision": "float32",
}
"""Minutes on a laptop."""

PUBLISHED: Mapping[str, Any] = {
    "resolution": "full",
    "steps": 100_000,
    "batch_size": 100,
    "learning_rate": 10**-3.5,
    "schedule": rates.CONSTANT,
    "channels": (32, 64),
    "eval_every": 1000,
    "validation_lists": 5000,
    "test_lists": 10_000,
}
"""What the experiment of Petersen et al. (ICML 2021) fixes."""

PUBLISHED_DATASETS = ("mnist", "fashion_mnist")  # 60,000 + 10,000 pictures of 28×28

PROTOCOLS = ("quick", "published")

DIGITS_CHANNELS = (16, 32)  # of 8×8 pixels there is less to see

# Most steps in one dispatch: compiled one after the other on a CPU, as a loop elsewhere.
CPU_STEPS_PER_DISPATCH = 2
STEPS_PER_DISPATCH = 500

# Beyond the other setting they would change nothing.
NO_MORE_THAN = {
    "eval_every": "steps",
    "checkpoint_every": "steps",
    "steps_per_dispatch": "eval_every",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The complete settings of one invocation; each field is a flag of `sort_numbers.py`."""

    protocol: str
    dataset: str
    download: bool
    resolution: str
    n: int
    operators: tuple[str, ...]
    loss: str
    seeds: int
    steps: int
    batch_size: int
    learning_rate: float
    schedule: str
    channels: tuple[int, ...]
    eval_every: int
    validation_lists: int
    test_lists: int
    steps_per_dispatch: int
    checkpoint_every: int
    checkpoint_seconds: float
    precision: str


@dataclasses.dataclass(frozen=True)
class Method:
    """One row of the comparison: its text on the command line, and the method that it names.

    Attributes:
      spec: What was asked for.
      operator: None where the loss needs none.
      loss: As `losses.parse` reads it.
    """

    spec: str
    operator: Operator | None
    loss: str

    @property
    def weights(self) -> str | None:
        """The SHA-256 of the trained weights of an operator that has any."""
        likelihood = losses.parse(self.loss).entry.needs is losses.LIKELIHOOD
        return identities.weights(self.operator, likelihood=likelihood)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that tells it from others, as JSON can hold it."""
        operator = identities.fields(self.spec, self.operator)
        return {"operator": operator, "loss": losses.parse(self.loss)._asdict()}

    def describe(self) -> str:
        """Says in one line which operator this is, with all its settings, and its loss."""
        loss = f"loss={self.loss}"
        return loss if self.operator is None else f"{self.operator!r}, {loss}"


def essence(identity: Mapping[str, Any]) -> dict[str, Any]:
    """A method's identity but for what plays no part: losses that see no P have no readout."""
    operator, loss = identity["operator"], identity["loss"]
    entry = losses.TABLE.get(loss["name"])
    if operator is not None and entry is not None and entry.needs is not losses.OPERATOR:
        operator = {name: value for name, value in operator.items() if name != "readout"}
    return {"operator": operator, "loss": loss}


def resolve(given: Mapping[str, Any], flag: str = "operators") -> tuple[Config, tuple[Method, ...]]:
    """Completes and checks settings.

    Args:
      given: What the user said, by the names of `Config`; None counts as not given.
      flag: Which one lists the methods, for errors.

    Returns:
      The complete settings, and the methods they name.

    Raises:
      FlagError: If a setting is not allowed, or would change nothing.
    """
    stated = {name: value for name, value in given.items() if value is not None}
    protocol = stated.get("protocol", PROTOCOLS[0])
    _check_choice("protocol", protocol, PROTOCOLS)
    defaults = dict(QUICK)
    if protocol == "published":
        defaults |= {**PUBLISHED, "dataset": "mnist"}
        for name in sorted(stated.keys() & PUBLISHED.keys()):
            _refuse(name, stated[name], f"{PUBLISHED[name]}, fixed by --protocol published")
    elif stated.get("dataset", EMBEDDED) == EMBEDDED:
        defaults["channels"] = DIGITS_CHANNELS
    steps = max(stated.get("steps", defaults["steps"]), 1)
    defaults["eval_every"] = min(defaults["eval_every"], steps)
    defaults["checkpoint_every"] = steps  # before that, time alone decides
    most = CPU_STEPS_PER_DISPATCH if jax.default_backend() == "cpu" else STEPS_PER_DISPATCH
    every = stated.get("eval_every", defaults["eval_every"])
    defaults["steps_per_dispatch"] = largest_divisor(every, most)
    stated["operators"] = tuple(read_specs(stated.get("operators", OPERATORS)))
    config = Config(**{**defaults, **stated, "protocol": protocol})
    _check(config)
    if not config.operators:
        _refuse(flag, "none", ", ".join(operators.names()))
    methods = tuple(_method(spec, config, flag) for spec in config.operators)
    check_distinct(flag, ((each.spec, each.identity) for each in methods))
    return config, methods


def read_method(spec: str, loss: str) -> Method:
    """Reads `operator[:hyperparameters][@loss]`, or `loss:` and a loss that needs no operator.

    Args:
      spec: The text.
      loss: For a text without one; "auto" for the operator's own.

    Raises:
      ValueError: If it has another form, or names what there is not.
    """
    if spec.startswith(NO_OPERATOR):
        return Method(spec, None, losses.choose(spec.removeprefix(NO_OPERATOR), None))
    name, at, own = spec.partition("@")
    operator = operators.parse(name, supervision=True)
    return Method(spec, operator, losses.choose(own if at else loss, operator))


def read_lengths(texts: Sequence[str]) -> tuple[int, ...]:
    """Reads the numbers in a list, or several of them, from a command line."""
    lengths = tuple(int(text) for text in texts if text.isdecimal())
    if not lengths or len(set(lengths)) != len(texts) or min(lengths) < 2:
        _refuse("n", ",".join(texts), "integers >= 2, each once")
    return lengths


def read_channels(texts: Sequence[str]) -> tuple[int, ...]:
    """Reads the channels from a command line; how many they may be is for `resolve`."""
    try:
        return tuple(int(text) for text in texts)
    except ValueError:
        _refuse("channels", ",".join(texts), "two integers >= 1")


def _check(config: Config) -> None:
    _check_choice("dataset", config.dataset, DATASETS)
    _check_choice("resolution", config.resolution, RESOLUTIONS)
    _check_choice("loss", re.split("[/+]", config.loss)[0], (losses.AUTO, *losses.TABLE))
    try:
        if config.loss != losses.AUTO:
            losses.parse(config.loss)
    except ValueError as error:
        raise FlagError(f"--{error}") from None
    _check_choice("schedule", config.schedule, rates.SCHEDULES)
    if config.protocol == "published":
        _check_choice("dataset", config.dataset, PUBLISHED_DATASETS)
    if config.download and config.dataset == EMBEDDED:
        _refuse("download", "true", f"a data set to download; {EMBEDDED} is embedded")
    _check_count("n", config.n, 2)
    for name in (
        *("seeds", "steps", "batch_size", "eval_every", "validation_lists", "test_lists"),
        *("steps_per_dispatch", "checkpoint_every"),
    ):
        _check_count(name, getattr(config, name), 1)
    for name, other in NO_MORE_THAN.items():
        if getattr(config, name) > getattr(config, other):
            limit = f"at most --{other}, {getattr(config, other)}"
            _refuse(name, getattr(config, name), limit)
    if len(config.channels) != 2 or min(config.channels) < 1:
        _refuse("channels", ",".join(map(str, config.channels)), "two integers >= 1, as 32,64")
    if not 0 < config.learning_rate < math.inf:
        _refuse("learning_rate", config.learning_rate, "a finite number > 0")
    if not 0 <= config.checkpoint_seconds < math.inf:
        _refuse("checkpoint_seconds", config.checkpoint_seconds, "a finite number >= 0")
    _check_choice("precision", config.precision, PRECISIONS)


def _method(spec: str, config: Config, flag: str) -> Method:
    """Makes an operator and traces its loss, so that errors come before training."""
    try:
        method = read_method(spec, config.loss)
        scores = jax.ShapeDtypeStruct((1, config.n), "float32")
        numbers = jax.ShapeDtypeStruct((1, config.n), "int32")
        jax.eval_shape(
            lambda s, z, w: losses.order_loss(
                method.loss, method.operator, s, z, jax.random.key(0), w
            ),
            scores,
            numbers,
            scores if losses.parse(method.loss).noise_scales else None,
        )
    except (TypeError, ValueError) as error:
        line = " ".join(str(error).split())
        raise FlagError(f"--{flag} {spec} (n={config.n}, --loss {config.loss}): {line}") from error
    return method


def largest_divisor(number: int, most: int) -> int:
    """Finds how many steps to compile, so that a period is a number of whole dispatches."""
    return next((d for d in range(most, 1, -1) if number % d == 0), 1)


def _check_count(name: str, value: int, least: int) -> None:
    if value < least:
        _refuse(name, value, f"an integer >= {least}")


def _check_choice(name: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        close = difflib.get_close_matches(value, list(allowed), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        _refuse(name, repr(value), ", ".join(allowed) + hint)


def _refuse(name: str, received: Any, allowed: Any) -> NoReturn:
    raise refused(name, received, allowed)
