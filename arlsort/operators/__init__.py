# SPDX-License-Identifier: Apache-2.0
"""One relaxation of sorting a file, one interface, one table."""
