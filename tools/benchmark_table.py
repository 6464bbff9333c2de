"""Runs as one table in the field's order (PASCAL-Context, NYUD-v2), beside published figures that were measured alike.

python tools/benchmark_table.py output/joint ours=output/other/inference/pascal_context_mtl_val
python tools/benchmark_table.py output/joint --single-task output/alone/* --format latex --output table.tex
"""

from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="[NAME=]DIR", help="a tested run, or its results.json")
    parser.add_argument(
        "--benchmark", choices=("pascal_context", "nyud"), help="(default: by the runs' data set, else their tasks)"
    )
    parser.add_argument(
        "--protocol", action="append", default=[], metavar="NAME", help="show this block; may be given several times"
    )
    parser.add_argument(
        "--single-task", nargs="+", default=[], metavar="DIR", help="runs of single tasks, to state Delta_m over"
    )
    parser.add_argument("--dataset", default="", metavar="NAME", help="of results whose folder does not tell")
    parser.add_argument("--all-published", action="store_true", help="show rows of other protocols in further blocks")
    parser.add_argument("--format", choices=("markdown", "latex"), default="markdown", help="(default: %(default)s)")
    parser.add_argument("--output", default="", metavar="FILE", help="write it there instead of showing it")
    return parser.parse_args(arguments)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from maskrcnn_benchmark.experiments.benchmark_table import (
    benchmark_of,
    format_latex,
    format_markdown,
    make_table,
    read_benchmark_run,
    write_table,
)
from maskrcnn_benchmark.utils.env import setup_environment


def main(arguments=None):
    setup_environment()
    arguments = parse_arguments(arguments)
    runs = [read_benchmark_run(words, arguments.dataset) for words in arguments.runs]
    single = [read_benchmark_run(words, arguments.dataset) for words in arguments.single_task]
    benchmark = arguments.benchmark or benchmark_of(runs)
    table = make_table(runs, benchmark, arguments.protocol, single, arguments.all_published)
    text = format_latex(table) if arguments.format == "latex" else format_markdown(table)
    if not arguments.output:
        print(text, end="")
        return
    write_table(text, arguments.output)
    print(f"written: {arguments.output}")


if __name__ == "__main__":
    run_tool(main)
