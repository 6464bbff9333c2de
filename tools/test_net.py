"""Evaluate a trained network: `python tools/test_net.py --config-file F [--ckpt F] [KEY VALUE ...]`."""

import argparse

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.engine.run import test
from maskrcnn_benchmark.engine.setup import end_run
from maskrcnn_benchmark.utils.cli import run_tool
from maskrcnn_benchmark.utils.env import setup_environment


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config-file", required=True, metavar="FILE", help="a yaml of configs/ or OUTPUT_DIR/config.yml"
    )
    parser.add_argument(
        "--ckpt",
        metavar="FILE",
        help="the weights; by default MODEL.WEIGHT of KEY VALUE, else OUTPUT_DIR's last checkpoint",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="accepted; torchrun sets LOCAL_RANK")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="options of the config to change")
    return parser.parse_intermixed_args(arguments)  # flags may stand before and after them


def main():
    setup_environment()
    arguments = parse_arguments()
    cfg = default_cfg.clone()
    cfg.merge_from_file(arguments.config_file)
    cfg.merge_from_list(arguments.opts)
    # weights named on the command line are meant, whatever OUTPUT_DIR holds
    named = cfg.MODEL.WEIGHT if "MODEL.WEIGHT" in arguments.opts[::2] else ""
    test(cfg, arguments.ckpt or named)
    end_run()


if __name__ == "__main__":
    run_tool(main)
