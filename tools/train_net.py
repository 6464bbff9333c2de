"""Train a network, evaluate it and draw its answers.

python tools/train_net.py --config-file configs/detail/mini_R_18_FPN.yaml SOLVER.MAX_ITER 100
torchrun --nproc_per_node=8 tools/train_net.py --config-file configs/e2e_mask_rcnn_R_50_FPN_1x.yaml
"""

import os
from pathlib import Path

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.selection import choose_config
from maskrcnn_benchmark.engine.run import train
from maskrcnn_benchmark.engine.setup import end_run
from maskrcnn_benchmark.utils.cli import ToolParser, run_tool
from maskrcnn_benchmark.utils.env import setup_environment

ROOT = Path(__file__).resolve().parents[1]


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument(
        "--config-file",
        default="auto",
        metavar="FILE",
        help='a yaml of configs/, or "auto": full size with a GPU and the data set, else the embedded data set',
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="accepted; torchrun sets LOCAL_RANK")
    parser.add_argument("--skip-test", action="store_true", help="end after training, without evaluation and pictures")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="options of the config to change")
    return parser.parse_intermixed_args(arguments)  # flags may stand before and after them


def read_config(config_file, opts):
    """The config of a file, or of the one that suits this machine, with options changed."""
    if config_file == "auto":
        asked = default_cfg.clone()
        asked.merge_from_list(opts)
        name, reason = choose_config(asked.DATASETS.DATA_DIR)
        config_file = os.path.relpath(ROOT / name)
        if int(os.environ.get("RANK", "0")) == 0:
            print(f"config: {config_file} ({reason})", flush=True)
    cfg = default_cfg.clone()
    cfg.merge_from_file(config_file)
    cfg.merge_from_list(opts)
    return cfg


def main():
    setup_environment()
    arguments = parse_arguments()
    train(read_config(arguments.config_file, arguments.opts), arguments.skip_test)
    end_run()


if __name__ == "__main__":
    run_tool(main)
