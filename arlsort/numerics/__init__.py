# SPDX-License-Identifier: Apache-2.0
"""Solvers that operators stand on; they know nothing of operators."""
