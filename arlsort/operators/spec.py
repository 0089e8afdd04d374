# SPDX-License-Identifier: Apache-2.0
"""Operators from strings, as command lines and tables write them."""

from typing import Any

from arlsort import checks
from arlsort.operators import base, registry


def parse(spec: str, *, supervision: bool = False) -> base.Operator:
    """Makes an operator from a string such as `odd_even:distribution=logistic,temperature=0.1`.

    Args:
      spec: A registered name, optionally followed by a colon and hyperparameters.
      supervision: Whether to start from the row's settings for the experiment on four-digit
        numbers; what the string says comes on top.

    Raises:
      TypeError: If `spec` is not a string.
      ValueError: If the name, a hyperparameter or a value is not known, not allowed or said twice.

    Example:
      >>> parse("softsort:temperature=0.5")
      SoftSort(hard=False, stochastic=False, num_samples=1, key=None, temperature=0.5, power=1)
    """
    if not isinstance(spec, str):
        raise TypeError(
            checks.error_message("spec", repr(spec), "a string such as 'softsort:power=2'")
        )
    name, _, settings = spec.partition(":")
    entry = registry.entry(name.strip())
    known = entry.hyperparameters()
    given: dict[str, Any] = dict(entry.supervision) if supervision else {}
    stated: set[str] = set()
    for setting in filter(None, (s.strip() for s in settings.split(","))):
        key, equals, text = (part.strip() for part in setting.partition("="))
        if key not in known:
            raise ValueError(registry.unknown(f"operator {name!r}, hyperparameter", key, known))
        if key in stated:
            raise ValueError(checks.error_message(f"operator {name!r}, {key}", "two values", "one"))
        stated.add(key)
        if not equals:
            raise ValueError(
                checks.error_message(f"operator {name!r}, {key}", "no value", f"{key}=...")
            )
        given[key] = _read(f"operator {name!r}, {key}", text, known[key])
    return entry.build(**given)


def _read(argument: str, text: str, default: Any) -> Any:
    """Reads a value of the type of the default; one that may be left out is a string."""
    kind = str if default is None else type(default)
    if kind is bool:
        values = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in values:
            raise ValueError(checks.error_message(argument, repr(text), "true or false"))
        return values[text.lower()]
    try:
        return kind(text)
    except ValueError:
        raise ValueError(checks.error_message(argument, repr(text), f"a {kind.__name__}")) from None
