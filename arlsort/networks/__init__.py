# SPDX-License-Identifier: Apache-2.0
"""Sorting networks: their layers, their soft swaps, and how both run fast."""

from arlsort.networks.topology import draw

__all__ = ["draw"]
