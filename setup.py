"""Build configuration: metadata, extras, the command, and the kernels shipped as ``w2v.kernels``."""

import re
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
VERSION = re.search(r'^__version__ = "([^"]+)"', (ROOT / "w2v" / "__init__.py").read_text("utf-8"), re.M)[1]

EXTRAS = {
    "cuda12": ["cupy-cuda12x[ctk]>=13.4", "numba-cuda[cu12]>=0.15"],
    "cuda13": ["cupy-cuda13x[ctk]>=13.6", "numba-cuda[cu13]>=0.20"],
    "io": ["zstandard>=0.20", "smart_open>=6", "fsspec>=2023.1"],
    "plot": ["matplotlib>=3.6"],
    "ann": ["faiss-cpu>=1.8"],
    "hub": ["safetensors>=0.4"],
    "map": ["umap-learn>=0.5.4", "scikit-learn>=1.2"],
    "tensorboard": ["tensorboard>=2.11"],
    "ray": ["ray>=2.9", "fsspec>=2023.1"],
    "bench": ["gensim>=4.3", "torch>=2.1"],
    "fuzz": ["atheris>=2.3"],
}
EXTRAS["test"] = [
    "pytest>=7.4",
    "hypothesis>=6.80",
    "scipy>=1.10",
    *EXTRAS["io"],
    *EXTRAS["plot"],
    *EXTRAS["hub"],
    *EXTRAS["ann"],
    *EXTRAS["map"],
    *EXTRAS["tensorboard"],
    # The libraries that load what `w2v export` writes, and the driver of a browser that opens `w2v explore`'s page.
    "model2vec>=0.3",
    "selenium>=4.15",
    # gensim publishes wheels for these interpreters only; the tests against it skip elsewhere.
    'gensim>=4.3; python_version < "3.14"',
    # The tests of replicas on Ray skip where it has no wheels.
    'ray>=2.9; python_version < "3.15" and sys_platform == "linux"',
    # Compiling kernels to PTX and running them in numba's simulator need no GPU and no driver.
    'numba-cuda[cu13]>=0.20; sys_platform == "linux"',
    'nvidia-cuda-nvrtc>=13; sys_platform == "linux"',
    "ruff>=0.5",
    # The packaging tests build a wheel without a network.
    "setuptools>=70.1",
    "pip>=22.3",
]

setup(
    name="w2v",
    version=VERSION,
    description="word2vec-style embeddings from plain text: skip-gram, CBOW, negative sampling, Huffman softmax",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=[
        "w2v",
        "w2v.backends",
        "w2v.cli",
        "w2v.comparison",
        "w2v.comparison.report",
        "w2v.corpus",
        "w2v.cost",
        "w2v.distributed",
        "w2v.explore",
        "w2v.export",
        "w2v.kernels",
        "w2v.objectives",
        "w2v.phrases",
        "w2v.training",
        "w2v.vectors",
    ],
    # A top-level package called "kernels" would overwrite another project's: ours ships inside w2v.
    package_dir={"w2v": "w2v", "w2v.kernels": "kernels"},
    package_data={
        "w2v.kernels": ["*.cu", "*.cuh", "*.md"],
        "w2v.comparison.report": ["*.html", "*.css"],
        "w2v.explore": ["*.html", "*.css", "*.js"],
    },
    install_requires=["numpy>=1.24", "numba>=0.59", "click>=8.1", "tqdm>=4.64", "threadpoolctl>=3.1"],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["w2v = w2v.__main__:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: MIT License",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Text Processing :: Linguistic",
    ],
)
