"""What a report of a fault, and the record of a run, need to say about the machine."""

import platform
from importlib import metadata

import torch

from maskrcnn_benchmark.utils.threads import describe_threads

PACKAGES = ("torchvision", "safetensors", "numpy", "pillow", "opencv-python-headless", "pycocotools", "scipy", "yacs")


def collect_environment(device: str | torch.device | None = None) -> dict:
    """Versions and devices as JSON holds them.

    Args:
        device: what the process works on. GPUs are described only to one that works on a GPU, or where None is given:
            their names cannot be had without starting CUDA, which a process on the CPU never does.

    Returns:
        {"python", "platform", "pytorch": version, "cuda": version or None, "threads": of PyTorch, "thread_choice": how
        they were chosen, "packages": {name: version or "missing"}, "gpus": [{"name", "memory_gib"}, ...]}.
    """
    named = device is None or torch.device(device).type == "cuda"
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count() if named else 0)]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "pytorch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "thread_choice": describe_threads(),
        "packages": {package: _version(package) for package in PACKAGES},
        "gpus": [{"name": gpu.name, "memory_gib": round(gpu.total_memory / 2**30)} for gpu in gpus],
    }


def collect_env_info(device: str | torch.device | None = None) -> str:
    """Versions and devices, one per line; `device` as `collect_environment` takes it."""
    known = collect_environment(device)
    lines = [
        f"Python {known['python']} on {known['platform']}",
        f"PyTorch {known['pytorch']} (CUDA {known['cuda'] or 'none'})",
        f"threads: {known['thread_choice']}",
        ", ".join(f"{package} {version}" for package, version in known["packages"].items()),
    ]
    lines += [f"GPU {index}: {gpu['name']}, {gpu['memory_gib']} GiB" for index, gpu in enumerate(known["gpus"])]
    return "\n".join(lines)


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"
