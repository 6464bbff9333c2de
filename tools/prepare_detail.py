"""Prepare an annotation file of PASCAL in Detail or of COCO: check every record, write an index.

python tools/prepare_detail.py --annotations annotations.json --images images --problems problems.csv

The annotation file is read once, a piece at a time, every record is checked, and an index is written, which training
and testing open at once. It lies beside the annotation file, or in --out. A second run on the same file does nothing.
The exit code is 1 where the file has nothing to train on.
"""

import os
from pathlib import Path

from maskrcnn_benchmark.utils.arguments import workers
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument("--annotations", required=True, metavar="FILE", help="JSON file")
    parser.add_argument("--layout", choices=("detail", "coco"), help="that of the file (default: it is recognised)")
    parser.add_argument("--images", metavar="DIR", help="look at every image, too")
    parser.add_argument("--out", metavar="DIR", help="folder of the index (default: that of the annotations)")
    parser.add_argument("--strict", action="store_true", help="anything wrong is an error, and no index is written")
    parser.add_argument("--problems", metavar="FILE", help="write everything that was wrong to a CSV file")
    parser.add_argument(
        "--workers", type=workers, default=os.cpu_count() or 1, metavar="N", help="(default: %(default)s)"
    )
    return parser.parse_args(arguments)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from maskrcnn_benchmark.data.coco.content import CocoContent
from maskrcnn_benchmark.data.detail.content import DetailContent
from maskrcnn_benchmark.data.preparation.build_index import prepare
from maskrcnn_benchmark.data.preparation.index_file import index_path_of
from maskrcnn_benchmark.data.preparation.other_files import layout_of
from maskrcnn_benchmark.data.preparation.summary import nothing_to_learn, summarize
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import mkdir
from maskrcnn_benchmark.utils.logger import setup_logger

LAYOUTS = {"detail": DetailContent, "coco": CocoContent}
PANOPTIC = "coco_panoptic"


def main(arguments=None):
    arguments = parse_arguments(arguments)
    setup_logger("maskrcnn_benchmark", "", 0)
    layout = arguments.layout or layout_of(arguments.annotations) or "detail"
    if layout == PANOPTIC:
        raise UserError(
            f"{arguments.annotations} is in COCO's panoptic layout, which is read without an index; open it as it is"
        )
    if arguments.out:
        mkdir(arguments.out)
    index, made = prepare(
        arguments.annotations,
        index_path_of(arguments.annotations, arguments.out),
        arguments.images,
        arguments.strict,
        arguments.workers,
        progress=True,
        problems_csv=arguments.problems and Path(arguments.problems),
        content=LAYOUTS[layout],
    )
    print(summarize(index))
    print(f"{'prepared' if made else 'is prepared already'}: {index}")
    nothing = nothing_to_learn(index)
    if nothing:
        print(f"nothing to train on: {nothing}; take a file with annotations")
    return int(nothing is not None)


if __name__ == "__main__":
    run_tool(main)
