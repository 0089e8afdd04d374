# SPDX-License-Identifier: Apache-2.0
"""Classifying pictures by their nearest neighbours: the task of `classify_neighbours`."""
