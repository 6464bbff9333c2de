"""Compare runs: which options differ, what each task gains over the first, learning curves on one page.

A folder of a sweep or of an ablation stands for all runs in it.

python tools/compare_runs.py output/mini_R_18_FPN output/other --output comparison.html --json comparison.json
"""

import shutil
import sys

from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.errors import line_of


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument("folders", nargs="+", metavar="DIR", help="OUTPUT_DIR of a run; the first is compared with")
    parser.add_argument(
        "--output", default="comparison.html", metavar="FILE", help="the page (default: %(default)s); '' writes none"
    )
    parser.add_argument("--json", default="", metavar="FILE", help="all scores, too")
    return parser.parse_args(arguments)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from maskrcnn_benchmark.experiments.comparison import compare_folders
from maskrcnn_benchmark.experiments.comparison_files import write_comparison
from maskrcnn_benchmark.experiments.comparison_report import format_text
from maskrcnn_benchmark.utils.env import setup_environment


def main(arguments=None):
    setup_environment()
    arguments = parse_arguments(arguments)
    comparison = compare_folders(arguments.folders)
    print(format_text(comparison, shutil.get_terminal_size((120, 24)).columns))
    for path in write_comparison(comparison, arguments.output, arguments.json):
        print(f"written: {path}")
    for line in comparison.problems:
        print(f"error: {line_of(line)}", file=sys.stderr)
    return 1 if comparison.problems else 0


if __name__ == "__main__":
    run_tool(main)
