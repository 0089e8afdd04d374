# SPDX-License-Identifier: Apache-2.0
"""Operators on lists whose scores are shared among devices, for `arlsort.sharding`."""
