# SPDX-License-Identifier: Apache-2.0
"""The commands of `arlsort`, by subject; `arlsort.__main__` joins them."""

import argparse
from collections.abc import Callable

Add = Callable[[str, Callable[[argparse.Namespace], None], str], argparse.ArgumentParser]
"""Adds a command: its name, its function and its summary."""
