# SPDX-License-Identifier: Apache-2.0
"""How the operators of `arlsort.sharding` compute values of which each device has a part."""
