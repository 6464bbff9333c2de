"""Evaluate a trained network on the test data of its config, and write its answers as files.

python tools/test_net.py --ckpt output/mini_R_18_FPN/model_final.pth
python tools/test_net.py --config-file configs/detail/mini_R_18_FPN.yaml TEST.IMS_PER_BATCH 4

A checkpoint of this library carries its config, so it is enough; --config-file takes another one.
"""

from maskrcnn_benchmark.utils.arguments import OptionWords
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.errors import UserError


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument("--config-file", metavar="FILE", help="a yaml of configs/ or OUTPUT_DIR/config.yml")
    parser.add_argument(
        "--ckpt",
        metavar="FILE",
        help="the weights; by default MODEL.WEIGHT of KEY VALUE, else OUTPUT_DIR's last checkpoint",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="accepted; torchrun sets LOCAL_RANK")
    parser.add_argument(
        "opts", nargs="*", action=OptionWords, metavar="KEY VALUE", help="options of the config to change"
    )
    return parser.parse_intermixed_args(arguments)  # flags may stand before and after them


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.experiments.run import test
from maskrcnn_benchmark.experiments.setup import end_run
from maskrcnn_benchmark.predict.trained_network import testing_config
from maskrcnn_benchmark.utils.env import setup_environment


def main():
    setup_environment()
    arguments = parse_arguments()
    # weights named on the command line are meant, whatever OUTPUT_DIR holds
    named = dict(zip(arguments.opts[::2], arguments.opts[1::2])).get("MODEL.WEIGHT", "")
    checkpoint, vocabulary = arguments.ckpt or named, None
    if arguments.config_file:
        cfg = default_cfg.clone()
        cfg.merge_from_file(arguments.config_file)
        cfg.merge_from_list(arguments.opts)
    elif checkpoint:
        cfg, vocabulary = testing_config(checkpoint, arguments.opts)
    else:
        raise UserError("name what to test: --ckpt FILE, or --config-file FILE of a run with its OUTPUT_DIR")
    test(cfg, checkpoint, vocabulary)
    end_run()


if __name__ == "__main__":
    run_tool(main)
