# SPDX-License-Identifier: Apache-2.0
"""What experiments share and that knows no task: flags, files, data, devices, reports."""
