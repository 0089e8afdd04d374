# SPDX-License-Identifier: Apache-2.0
"""The task: learn to read four-digit numbers from pictures when only their order is known."""
