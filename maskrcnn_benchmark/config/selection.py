"""Which config `train_net.py` takes when it is told none."""

from pathlib import Path

from maskrcnn_benchmark.utils.devices import AUTO, names_cuda

FULL_SIZE = "configs/detail/e2e_multitask_R_50_FPN_1x.yaml"
MINI = "configs/detail/mini_R_18_FPN.yaml"
FULL_SIZE_DATA = "detail/annotations.json"


def choose_config(data_dir: str | Path = "datasets", device: str = AUTO) -> tuple[str, str]:
    """The full-size training where it can run, else the one on the embedded data set.

    Args:
        data_dir: folder of the data sets, DATASETS.DATA_DIR.
        device: the MODEL.DEVICE that the user asks for, or "auto".

    Returns:
        (path of the yaml from the root of the checkout, the reason in one line). With either file the GPU is taken
        where there is one, unless the user asks for another device.
    """
    annotations = Path(data_dir) / FULL_SIZE_DATA
    on_gpu = names_cuda(device)
    if on_gpu and annotations.is_file():
        return FULL_SIZE, f"there are a CUDA device and {annotations}"
    missing = [] if on_gpu else ["there is no CUDA device" if device == AUTO else f"MODEL.DEVICE is {device}"]
    if not annotations.is_file():
        missing.append(f"there is no {annotations}")
    return MINI, f"{' and '.join(missing)}, so the embedded data set is used"
