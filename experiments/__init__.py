# SPDX-License-Identifier: Apache-2.0
"""Scripts to run, and what only they share."""
