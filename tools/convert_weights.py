"""Write the weights of any library that MODEL.WEIGHT can name as a checkpoint with our names.

python tools/convert_weights.py --config-file configs/e2e_mask_rcnn_R_50_FPN_1x.yaml IN OUT.pth [KEY VALUE ...]

IN is a path, an address or catalog://NAME. The config decides on the network; tensors that do not fit it are left out.
"""

import argparse

from maskrcnn_benchmark.utils.arguments import OptionWords
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.errors import UserError


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument("source", metavar="IN", help="a path, an address or catalog://NAME")
    parser.add_argument("target", metavar="OUT", help="the checkpoint to write")
    parser.add_argument("--config-file", required=True, metavar="FILE", help="the config of the network")
    parser.add_argument(
        "options",
        nargs=argparse.REMAINDER,
        action=OptionWords,
        metavar="KEY VALUE",
        help="options that go before the file's",
    )
    return parser.parse_args(arguments)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

import torch

from maskrcnn_benchmark.config import cfg as defaults
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.logger import setup_logger
from maskrcnn_benchmark.utils.model_serialization import load_state_dict, side_by_side
from maskrcnn_benchmark.utils.model_zoo import local_file
from maskrcnn_benchmark.utils.weights.fitting_weights import fitting_weights
from maskrcnn_benchmark.utils.weights.tensor_check import check_weights
from maskrcnn_benchmark.utils.weights.weight_file import read_checkpoint


def main(arguments=None):
    arguments = parse_arguments(arguments)
    cfg = defaults.clone()
    cfg.merge_from_file(arguments.config_file)
    cfg.merge_from_list([*arguments.options, "MODEL.DEVICE", "cpu"])
    setup_logger("maskrcnn_benchmark", "", 0)

    path = local_file(arguments.source, cfg.PATHS_CATALOG)
    model = build_detection_model(cfg)
    weights, _ = fitting_weights(model, cfg, read_checkpoint(path), path)
    check_weights(model, weights, path)
    report = load_state_dict(model, weights)
    if not report.matched:
        raise UserError(
            f"{path}: none of its {len(weights)} tensors fits the network of {arguments.config_file} "
            f"({side_by_side(report)})"
        )
    own = model.state_dict()
    with atomic_write(arguments.target) as file:
        torch.save({"model": {name: own[name] for name in report.matched}}, file)
    print(f"{arguments.target}: {len(report.matched)} of {len(own)} tensors")


if __name__ == "__main__":
    run_tool(main)
