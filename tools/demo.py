"""Show a trained network in a browser: pick or upload an image, switch tasks, move thresholds, take answers away.

python tools/demo.py output/mini_R_18_FPN/model_final.pth
python tools/demo.py model_final.pth --port 8000 --device cuda --samples photos TEST.BBOX_AUG.ENABLED True

The page is at this machine's own address, and its link holds a token that it asks for; --host lets others in. The
environment's DEMO_TOKEN gives a token of your own.
"""

import os
from pathlib import Path

from maskrcnn_benchmark.demo.uploads import MOST_PIXELS
from maskrcnn_benchmark.utils.arguments import OptionWords, in_range, positive
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Integer


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a trained network, such as model_final.pth of a run")
    parser.add_argument("--config-file", default="", metavar="FILE", help="a yaml in place of the checkpoint's config")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port",
        type=in_range(Integer(0, 65535)),
        default=7860,
        help="the first port to try, 0 for any (default: %(default)s)",
    )
    parser.add_argument("--no-token", action="store_true", help="let in whoever can reach the address")
    parser.add_argument(
        "--public-url", default="", metavar="URL", help="the address at which a proxy of yours offers the demo"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU where there is one)")
    parser.add_argument("--samples", default="", metavar="DIR", help="images to pick from (default: some are drawn)")
    parser.add_argument(
        "--max-pixels",
        type=positive,
        default=MOST_PIXELS,
        metavar="N",
        help="larger uploads are refused (default: %(default)s)",
    )
    parser.add_argument(
        "opts", nargs="*", action=OptionWords, metavar="KEY VALUE", help="options of the config to change"
    )
    return parser.parse_intermixed_args(arguments)  # flags may stand before and after them


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from maskrcnn_benchmark.demo.access import TOKEN_VARIABLE, access_for
from maskrcnn_benchmark.demo.serve import check_gradio, serve_demo
from maskrcnn_benchmark.predict.predictor import Predictor
from maskrcnn_benchmark.utils.env import setup_environment


def main(arguments=None):
    setup_environment()
    options = parse_arguments(arguments)
    check_gradio()
    if "://" not in options.checkpoint and not Path(options.checkpoint).is_file():
        raise UserError(f"{options.checkpoint} is not there; `make train` trains a network and puts it into output/")
    token = "" if options.no_token else os.environ.get(TOKEN_VARIABLE) or None
    access = access_for(options.host, token, options.public_url)
    predictor = Predictor(options.checkpoint, options.config_file, options.opts, options.device)
    serve_demo(predictor, options.host, options.port, options.samples, options.max_pixels, _say, access)


def _say(line):
    print(line, flush=True)


if __name__ == "__main__":
    run_tool(main)
