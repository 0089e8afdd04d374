# SPDX-License-Identifier: Apache-2.0
"""Solvers below the operators, which do not depend on them."""
