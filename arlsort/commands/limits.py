# SPDX-License-Identifier: Apache-2.0
"""Which integers the flags allow."""

from arlsort import checks

# Far beyond what a machine could do; beyond that, numbers do not fit where they go.
_MOST = {"hidden-size": 2**14, "lengths": 2**12}
_MOST_OTHERS = 2**31 - 1
_LARGEST_SEED = 2**32 - 1


def check_within(name: str, value: int, least: int, most: int | None = None) -> None:
    """Raises ValueError if the value of a flag is out of its range."""
    most = _MOST.get(name, _MOST_OTHERS) if most is None else most
    if not least <= value <= most:
        allowed = f"an integer from {least} to {most}"
        raise ValueError(checks.error_message(f"--{name}", value, allowed))


def check_seed(seed: int) -> None:
    """Raises ValueError if a seed is not one."""
    check_within("seed", seed, 0, _LARGEST_SEED)
