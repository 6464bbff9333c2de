"""What a report of a fault, and the record of a run, need to say about the machine."""

import platform
from importlib import metadata

import torch

PACKAGES = ("torchvision", "numpy", "pillow", "opencv-python-headless", "pycocotools", "scipy", "yacs")


def collect_environment():
    """Versions and devices as JSON holds them.

    Returns:
        {"python", "platform", "pytorch": version, "cuda": version or None, "threads": of PyTorch,
        "packages": {name: version or "missing"}, "gpus": [{"name", "memory_gib"}, ...]}.
    """
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "pytorch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "packages": {package: _version(package) for package in PACKAGES},
        "gpus": [{"name": gpu.name, "memory_gib": round(gpu.total_memory / 2**30)} for gpu in gpus],
    }


def collect_env_info():
    """Versions and devices, one per line."""
    known = collect_environment()
    lines = [
        f"Python {known['python']} on {known['platform']}",
        f"PyTorch {known['pytorch']} (CUDA {known['cuda'] or 'none'}), {known['threads']} threads",
        ", ".join(f"{package} {version}" for package, version in known["packages"].items()),
    ]
    lines += [f"GPU {index}: {gpu['name']}, {gpu['memory_gib']} GiB" for index, gpu in enumerate(known["gpus"])]
    return "\n".join(lines)


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"
