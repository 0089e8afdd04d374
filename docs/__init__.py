# SPDX-License-Identifier: Apache-2.0
"""What generates the pages: a package, so that no other one called `docs` is taken for it."""
