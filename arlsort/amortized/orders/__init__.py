# SPDX-License-Identifier: Apache-2.0
"""A recurrent network that has learned how likely orders are under Cauchy noise."""
