# SPDX-License-Identifier: Apache-2.0
"""Installs `arlsort`; the extras add what training, the experiments and the tests need."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
HOME = "https://github.com/arlsort/arlsort"


def read_version() -> str:
    """Reads the version without importing the package, which needs what is not installed yet."""
    text = (ROOT / "arlsort" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)[1]


def read_description() -> str:
    """Reads the README with links that lead somewhere when it is shown away from the repository."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"(!\[[^]]*\])\((?!https:|#)", rf"\1({HOME}/raw/main/", text)
    return re.sub(r"\]\((?!https:|#)", f"]({HOME}/blob/main/", text)


BASE = [
    "jax>=0.10",
    "jaxlib>=0.10",
    "dm-haiku>=0.0.16",
    "chex>=0.1.91",
    "optax>=0.2.6",
    "numpy>=2.0",
    "safetensors>=0.5",
    "tqdm>=4.66",
]

# TensorFlow Datasets comes in two distributions that both own the folder `tensorflow_datasets`:
# `tensorflow-datasets` and `tfds-nightly`. dm-clrs requires the second, so the first must not be
# required here: with both, the result would depend on which one pip happens to unpack last.
# The nightly reads `FieldDescriptor.label`, which protobuf 7 no longer has, and imports
# `importlib_resources` without declaring it.
TFDS = [
    "tfds-nightly==4.9.9.dev202510250044",
    "protobuf>=6.31.1,<7",
    "importlib_resources>=6.0",
]

PLOT = ["matplotlib>=3.9"]

CLRS = ["dm-clrs>=2.0.3", *TFDS]

# What scripts need that train no reasoner and read pictures that are kept (docs/devices.md).
SCRIPTS = [
    *PLOT,
    "absl-py>=2.1",
    "orbax-checkpoint>=0.11",
    "scikit-learn>=1.5",
]

EXPERIMENTS = [*CLRS, *SCRIPTS]

DOCS = [*PLOT, "furo>=2024.8", "myst-parser>=4.0", "sphinx>=8.1"]

EXAMPLES = ["equinox>=0.13", "flax>=0.12"]

# ruff's layout and mypy's findings change between releases, so those two are held to a series.
TEST = [
    *dict.fromkeys([*EXPERIMENTS, *DOCS]),
    *EXAMPLES,
    "build>=1.2",
    "hypothesis>=6.100",
    "ipykernel>=6.29",
    "mypy~=2.4",
    "nbclient>=0.10",
    "nbformat>=5.10",
    "packaging>=24.0",
    "pytest>=9.0",
    "pytest-xdist>=3.8",
    "ruff~=0.17.5",
    "setuptools>=77.0",
    "twine>=6.0",
]

# Other implementations, to compare with. Not part of the default test run.
# Without qpth, which asks for an old NumPy that it does not need: `pip install --no-deps qpth`.
PEERS = [
    "algovision>=0.1.2",
    "differentiable-sorting>=0.0.3",
    "diffsort>=0.2.0",
    "ott-jax>=0.6.0",
    "qpax>=0.1.4",
    "qpsolvers[clarabel,daqp,osqp,quadprog]>=4.13",
    "softjax>=0.1.1; python_version >= '3.12'",
    "torch>=2.2",
]

setup(
    name="arlsort",
    version=read_version(),
    description="Differentiable sorting by a graph network that has learned to sort, in JAX",
    long_description=read_description(),
    long_description_content_type="text/markdown",
    author="The arlsort authors",
    url=HOME,
    project_urls={
        "Source": HOME,
        "Documentation": f"{HOME}/blob/main/docs/index.md",
        "Changelog": f"{HOME}/blob/main/CHANGELOG.md",
        "Issues": f"{HOME}/issues",
    },
    keywords=[
        "differentiable sorting",
        "soft ranking",
        "top-k",
        "sorting networks",
        "optimal transport",
        "neural algorithmic reasoning",
        "graph neural networks",
        "JAX",
        "Haiku",
    ],
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["arlsort", "arlsort.*"]),
    package_data={
        "arlsort": ["py.typed"],
        "arlsort.amortized": ["weights/*.safetensors", "weights/*.json"],
        "arlsort.reasoner": ["weights/*.safetensors", "weights/*.json"],
    },
    zip_safe=False,
    entry_points={"console_scripts": ["arlsort = arlsort.__main__:main"]},
    install_requires=BASE,
    extras_require={
        "plot": PLOT,
        "docs": DOCS,
        "examples": EXAMPLES,
        "clrs": CLRS,
        "scripts": SCRIPTS,
        "experiments": EXPERIMENTS,
        "test": TEST,
        "peers": PEERS,
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
