"""Export a trained network as ONNX or as a torch.export program, checked against the network itself.

python tools/export_model.py output/mini_R_18_FPN/model_final.pth --format onnx --output exported
python tools/export_model.py model_final.pth --format both --output exported --tasks detection,semantic --images photos
python tools/export_model.py model_final.pth --format onnx --output exported --check-only --images photos

A file is kept only if it predicts as the network does, image by image; the exit code is 1 otherwise.
"""

from maskrcnn_benchmark.tasks.names import task_keys
from maskrcnn_benchmark.utils.arguments import OptionWords
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a trained network, such as model_final.pth of a run")
    parser.add_argument("--config-file", default="", metavar="FILE", help="a yaml in place of the checkpoint's config")
    parser.add_argument(
        "--format",
        choices=("onnx", "program", "both"),
        default="onnx",
        help="onnx writes model.onnx, program model.pt2 (default: %(default)s)",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="where the files go")
    parser.add_argument(
        "--tasks", metavar="A,B", help=f"of {', '.join(task_keys())} (default: all that the network has)"
    )
    parser.add_argument(
        "--images", nargs="+", default=[], metavar="FILE", help="files, folders or patterns to check with (else drawn)"
    )
    parser.add_argument("--check-only", action="store_true", help="write nothing; check the files that are in DIR")
    parser.add_argument(
        "opts", nargs="*", action=OptionWords, metavar="KEY VALUE", help="options of the config to change"
    )
    return parser.parse_intermixed_args(arguments)  # flags may stand before and after them


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from maskrcnn_benchmark.export.export import FORMATS, export_network
from maskrcnn_benchmark.predict.predictor import Predictor
from maskrcnn_benchmark.utils.env import setup_environment


def main(arguments=None):
    setup_environment()
    options = parse_arguments(arguments)
    tasks = options.tasks.split(",") if options.tasks else None
    predictor = Predictor(options.checkpoint, options.config_file, options.opts, "cpu", tasks=tasks)
    formats = list(FORMATS) if options.format == "both" else [options.format]
    good = export_network(predictor, formats, options.output, options.images, options.check_only, _say)
    return 0 if good else 1


def _say(line):
    print(line, flush=True)


if __name__ == "__main__":
    run_tool(main)
