# SPDX-License-Identifier: Apache-2.0
"""Relaxations of sorting: one a file, one interface, one table, one parser."""

from arlsort.operators.registry import get, names
from arlsort.operators.spec import parse

__all__ = ["get", "names", "parse"]
