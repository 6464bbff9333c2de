"""Which config `train_net.py` takes when it is told none."""

from pathlib import Path

import torch

FULL_SIZE = "configs/detail/e2e_multitask_R_50_FPN_1x.yaml"
MINI = "configs/detail/mini_R_18_FPN.yaml"
FULL_SIZE_DATA = "detail/annotations.json"


def choose_config(data_dir="datasets"):
    """The full-size training where it can run, else the one on the embedded data set.

    Args:
        data_dir: folder of the data sets, DATASETS.DATA_DIR.

    Returns:
        (path of the yaml from the root of the checkout, the reason in one line).
    """
    annotations = Path(data_dir) / FULL_SIZE_DATA
    missing = []
    if not torch.cuda.is_available():
        missing.append("there is no CUDA device")
    if not annotations.is_file():
        missing.append(f"there is no {annotations}")
    if missing:
        return MINI, f"{' and '.join(missing)}, so the embedded data set is used"
    return FULL_SIZE, f"there are a CUDA device and {annotations}"
