# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of docs/gallery.md with the programs that the page shows.

Each program leaves its `picture`: axes, a figure or an animation. The image behind it on the page
says which file that is.
"""

import contextlib
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes

PAGE = Path(__file__).resolve().parent / "gallery.md"
DPI = 70
_PART = re.compile(r"^```python\n(.*?)^```\n\n!\[[^]]+\]\(images/([^)]+)\)$", re.M | re.S)


def programs() -> dict[str, str]:
    """The programs of the page, by the names of their images."""
    return {image: program for program, image in _PART.findall(PAGE.read_text(encoding="utf-8"))}


def draw(folder: Path) -> None:
    """Runs every program in the root of the repository, and saves its picture."""
    folder = folder.resolve()
    for name, program in programs().items():
        found: dict[str, Any] = {}
        with contextlib.chdir(PAGE.parents[1]):
            exec(program, found)  # the text of our own page
        picture = found["picture"]
        if isinstance(picture, FuncAnimation):
            picture.save(folder / name, writer="pillow", dpi=DPI)
        else:
            figure: Any = picture.figure if isinstance(picture, Axes) else picture
            figure.savefig(folder / name, dpi=DPI)
        plt.close("all")
