"""Packaging: what `pip install .` puts on a machine, and what each extra adds."""

from __future__ import annotations

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
README = HERE / "README.md"

PACKAGES = ("backbones", "tracker", "learning", "benchmarks", "weights")
INCLUDE = [pattern for name in PACKAGES for pattern in (name, f"{name}.*")]

ONNX = ["onnx>=1.16", "onnxscript>=0.3", "onnxruntime>=1.19", "torch>=2.6"]  # whose exporter takes free batches
BENCHMARKS = ["got10k>=0.1.3", "six>=1.16", "matplotlib>=3.8", "scipy>=1.11"]  # got10k imports six without declaring it
RAY = ["ray>=2.40"]  # 80 MB to fetch, 240 MB on disk
ASSOCIATION = ["onnxruntime>=1.19", "scipy>=1.11"]  # a detector is an ONNX file
# Lightning 2.6 brought EMAWeightAveraging; calibration fits by scipy; a teacher to learn from is an ONNX file;
# scikit-learn judges embeddings, matplotlib draws them
TRAIN = [
    "lightning>=2.6",
    "scipy>=1.11",
    "onnx>=1.16",
    "onnxruntime>=1.19",
    "scikit-learn>=1.4",
    "matplotlib>=3.8",
    "lightgbm>=4.3",
]
TUNE = ["optuna>=4.0", "scipy>=1.11"]
ROBOT = ["rosbags>=0.10", "mcap>=1.1"]
VIEWER = ["rerun-sdk>=0.26"]
DOCS = ["mkdocs>=1.6", "mkdocs-material>=9.5", "mkdocstrings[python]>=1.0", "mike>=2.1", "ruff>=0.9"]
NOTEBOOKS = ["nbclient>=0.10", "nbformat>=5.10", "ipykernel>=6.29"]
DEV = ["hypothesis>=6.100", "mypy>=1.11", "networkx>=3.2", "pytest>=8.0", "ruff>=0.9", "setuptools>=77", *NOTEBOOKS]

setup(
    name="siamtrack",
    version="0.1.0",
    description="Follow one object through a video: Siamese visual tracking for CPUs, GPUs and robots",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    keywords=["visual tracking", "siamese network", "computer vision", "robotics"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=INCLUDE),
    package_data={name: ["py.typed"] for name in PACKAGES[:-1]}
    | {
        "weights": ["*.safetensors", "*.json", "*.onnx", "*.txt", "*/*.safetensors", "*/*.json"],
    },
    install_requires=[
        "torch>=2.4",
        "numpy>=1.26",
        "opencv-python>=4.8",
        "shapely>=2.0",
        "numba>=0.60",
        "safetensors>=0.4",
        "tqdm>=4.66",
    ],
    extras_require={
        "onnx": ONNX,
        "openvino": ["openvino>=2024.4", *ONNX],  # it runs what onnxruntime's quantiser makes
        "tensorrt": ["tensorrt>=10.0", *ONNX],  # needs its vendor's index; see the README
        "benchmarks": BENCHMARKS,
        "ray": RAY,
        "train": TRAIN,
        "tune": TUNE,
        "association": ASSOCIATION,
        "robot": ROBOT,
        "rerun": VIEWER,
        "docs": DOCS,
        "dev": DEV,
    },
)
