"""Make the embedded data set mini_detail."""

from argparse import Namespace
from collections.abc import Sequence

from maskrcnn_benchmark.utils.arguments import in_range, seed
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.ranges import Integer


def parse_arguments(arguments: Sequence[str] | None = None) -> Namespace:
    """The command line."""
    parser = ToolParser(__doc__)
    images = in_range(Integer(0, 10**6))
    parser.add_argument("--out", default="datasets/mini_detail", help="the folder to make (default: %(default)s)")
    parser.add_argument(
        "--train", type=images, default=2000, metavar="N", help="training images (default: %(default)s)"
    )
    parser.add_argument("--val", type=images, default=100, metavar="N", help="validation images (default: %(default)s)")
    parser.add_argument("--seed", type=seed, default=0, help="same seed, same bytes (default: %(default)s)")
    parser.add_argument(
        "--maps",
        action="store_true",
        help="also the true saliency, surface normals and depth, in pictures that are lit (data set mini_maps: --out "
        "datasets/mini_maps)",
    )
    return parser.parse_args(arguments)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the data set as the arguments of a command line say."""
    options = parse_arguments(arguments)
    root = write_mini_detail(options.out, options.train, options.val, options.seed, options.maps)
    print(f"{root}: {options.train} training and {options.val} validation images")


if __name__ == "__main__":
    run_tool(main)
