"""Make a data set of the size of PASCAL in Detail: 10,100 images with the annotations of all eight tasks."""

import argparse

from maskrcnn_benchmark.utils.arguments import positive, seed
from maskrcnn_benchmark.utils.cli import parse_early, run_tool


def parse_arguments(argv=None):
    """The command line. Prints usage and leaves with 2 where it makes no sense."""
    parser = argparse.ArgumentParser(
        description=f"{__doc__} Everything is drawn; it is as large and as intricate as the real one, to measure with."
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to make: annotations.json and images/")
    parser.add_argument("--images", type=positive, default=10100, metavar="N", help="images (default %(default)s)")
    parser.add_argument("--seed", type=seed, default=0, help="same seed, same bytes (default %(default)s)")
    parser.add_argument(
        "--unique", type=positive, default=200, metavar="N", help="different scenes among them (default %(default)s)"
    )
    return parser.parse_args(argv)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from benchmarks.full_size import write_full_size


def main(argv=None):
    """Write the set and say what is in it."""
    args = parse_arguments(argv)
    counts = write_full_size(args.out, args.images, args.seed, args.unique)
    numbers = ", ".join(f"{counts[key]:,} {key}" for key in ("images", "regions", "objects", "parts", "people"))
    print(f"{args.out}: {numbers}, {counts['bytes'] / 1e6:,.0f} MB of JSON")


if __name__ == "__main__":
    run_tool(main)
