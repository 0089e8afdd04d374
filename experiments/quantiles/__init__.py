# SPDX-License-Identifier: Apache-2.0
"""Reading numbers when only a quantile of each list is known: the task of `quantile_regression`."""
