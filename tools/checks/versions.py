"""Stage: what this machine is, and whether its device computes at all."""

import importlib.util
import os
import platform
import resource
import shutil
import subprocess
from pathlib import Path

import cv2
import torch

from benchmarks.timing import wait_for
from checks.stage import Findings, Setting
from maskrcnn_benchmark import __version__
from maskrcnn_benchmark.utils.collect_env import collect_environment
from maskrcnn_benchmark.utils.git import collect_git_state
from maskrcnn_benchmark.utils.threads import allowed_cores, cgroup_quota, describe_threads

GIB = 2**30
SIDE = 512  # of the matrices that are multiplied
EXTRAS = {"balancing": "torchjd", "export": "onnx", "demo": "gradio"}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
NVIDIA_SECONDS = 20


def check(setting: Setting, findings: Findings) -> None:
    """Versions, processors and memory, then the devices."""
    _software(findings)
    _host(findings)
    _devices(setting, findings)


def _software(findings):
    known = collect_environment()
    git = collect_git_state()
    state = f", commit {git['commit'][:12]}{' and changes' if git['dirty'] else ''}" if git and git["commit"] else ""
    findings.note("package", f"maskrcnn_benchmark {__version__}{state}")
    findings.note("python", f"{known['python']} on {known['platform']}")
    findings.note("torch", f"{known['pytorch']}, CUDA {known['cuda'] or 'none'}")
    findings.note("libraries", ", ".join(f"{name} {version}" for name, version in known["packages"].items()))
    there = [extra for extra, module in EXTRAS.items() if importlib.util.find_spec(module) is not None]
    findings.note("extras", ", ".join(there) or "none")


def _host(findings):
    findings.note("processor", _processor())
    quota = cgroup_quota()
    limit = "no quota" if quota is None else f"quota of {quota:g}"
    findings.note("cores", f"{os.cpu_count()}, {allowed_cores()} allowed, {limit}, load {os.getloadavg()[0]:.1f}")
    findings.note("threads", f"{describe_threads()}; OpenCV {cv2.getNumThreads()}")
    variables = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if name in os.environ]
    findings.note("environment", ", ".join(variables) or f"none of {', '.join(THREAD_VARIABLES)}")
    memory = {
        line.split(":")[0]: int(line.split()[1]) * 1024 / GIB for line in _lines("/proc/meminfo") if line.endswith("kB")
    }
    if memory:
        limit = _limit("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
        text = f"{memory['MemTotal']:.1f} GiB, {memory['MemAvailable']:.1f} free, {limit}"
        findings.note("memory", text)
    if Path("/dev/shm").is_dir():
        shared = shutil.disk_usage("/dev/shm")
        findings.note("shared memory", f"{shared.total / GIB:.2f} GiB, {shared.free / GIB:.2f} free")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    findings.note("open files", f"at most {soft}, which may be raised to {hard}")


def _devices(setting, findings):
    if not torch.cuda.is_available():
        _explain_missing(findings)
    else:
        nccl = ".".join(map(str, torch.cuda.nccl.version())) if torch.distributed.is_nccl_available() else "none"
        findings.note("cuDNN, NCCL", f"{torch.backends.cudnn.version()}, {nccl}")
        findings.note("driver", _driver())
        for index in range(torch.cuda.device_count()):
            _device(index, findings)
    findings.require(f"product of matrices on {setting.device}", *_multiplies(setting.device))


def _device(index, findings):
    properties = torch.cuda.get_device_properties(index)
    free, total = torch.cuda.mem_get_info(index)
    capability = f"{properties.major}.{properties.minor}"
    text = f"{properties.name}, compute capability {capability}, {properties.multi_processor_count} multiprocessors"
    findings.note(f"cuda:{index}", f"{text}, {total / GIB:.1f} GiB, {free / GIB:.1f} free")
    built = torch.cuda.get_arch_list()
    if built:
        oldest = min(int("".join(filter(str.isdigit, name.partition("_")[2]))) for name in built)
        enough = 10 * properties.major + properties.minor >= oldest
        findings.require(f"cuda:{index} is supported", enough, f"this PyTorch is built for {', '.join(built)}")


def _multiplies(device):
    """Whether a product of small whole numbers, which is exact in float32, is right; and by how much it is not."""
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randint(-3, 4, (2, SIDE, SIDE), generator=generator).float()
    found = one.to(device) @ other.to(device)
    wait_for(device)
    expected = (one.double() @ other.double()).float()
    difference = (found.cpu() - expected).abs().max().item()
    return difference == 0, f"off by {difference:g}"


def _explain_missing(findings):
    """A machine with a GPU that PyTorch does not see must not pass as one without."""
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*")) or sorted(Path("/dev").glob("nvidia[0-9]*"))
    if not cards:
        findings.note("GPU", "none that PyTorch could use")
    elif os.environ.get("CUDA_VISIBLE_DEVICES", "unset") in ("", "-1"):
        findings.note("GPU", "hidden by CUDA_VISIBLE_DEVICES")
    elif torch.version.cuda is None:
        findings.require("GPU", False, "there is one, but this PyTorch is built without CUDA: install another build")
    else:
        text = f"there is one, but PyTorch {torch.__version__} cannot use it with driver {_driver()}: update the driver"
        findings.require("GPU", False, text)


def _driver():
    """Its version, from the driver's own file or its tool."""
    lines = _lines("/proc/driver/nvidia/version")
    if lines:
        return next((word for word in lines[0].split() if word[0].isdigit() and "." in word), lines[0])
    if shutil.which("nvidia-smi") is None:
        return "unknown"
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=NVIDIA_SECONDS)
    except subprocess.TimeoutExpired:
        return f"unknown: nvidia-smi said nothing in {NVIDIA_SECONDS} s"
    return ", ".join(dict.fromkeys(done.stdout.split())) or f"unknown: {done.stderr.strip()}"


def _processor():
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _limit(*paths):
    """Memory that a container may use."""
    for path in paths:
        for line in _lines(path):
            if line.isdigit() and int(line) < 2**60:
                return f"limit of {int(line) / GIB:.1f} GiB"
    return "no limit"


def _lines(path):
    """The lines of a file of the system, or none where it does not tell."""
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
