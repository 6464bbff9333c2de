"""Train subsets of a config's tasks, combined in several ways, and compare them by Delta_m over seeds.

python tools/ablate_tasks.py --config-file F --output DIR --tasks single all --methods fixed pcgrad --seeds 0 1 2

Options KEY VALUE hold for all runs. A command that was stopped goes on when it is given again.
"""

import itertools
import re
import shlex
import sys
from pathlib import Path

from maskrcnn_benchmark.config.defaults import OPTIONS
from maskrcnn_benchmark.tasks.names import task_keys
from maskrcnn_benchmark.utils.arguments import jobs, seed
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool

TRAIN = [sys.executable, str(Path(__file__).resolve().with_name("train_net.py"))]
KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)+(\.\w+)?")


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__, takes_options=True)
    parser.add_argument("--config-file", required=True, metavar="FILE", help="a yaml with all tasks to choose from")
    parser.add_argument("--output", required=True, metavar="DIR", help="for runs and tables")
    parser.add_argument(
        "--tasks",
        nargs="+",
        default=["single", "all"],
        metavar="SET",
        help=f"single, pairs, all, subsets, or tasks joined by +, of {', '.join(task_keys())} (default: single all)",
    )
    parser.add_argument(
        "--methods",
        nargs="*",
        default=["fixed"],
        metavar="NAME",
        help="for several tasks: values of MULTITASK.WEIGHTING, MULTITASK.AGGREGATION and MODEL.TASK_EXCHANGE.NAME "
        "(docs/multitask.md), such as uncertainty, pcgrad or attention, or one of each joined by + (default: fixed)",
    )
    parser.add_argument(
        "--variant",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", '"KEY VALUE ..."'),
        help="one more method, made by options; may be given several times",
    )
    parser.add_argument("--seeds", nargs="+", type=seed, default=[0], metavar="N", help="(default: 0)")
    parser.add_argument("--jobs", type=jobs, metavar="N", help="trainings at a time (default: one per GPU, else 1)")
    parser.add_argument("--gpus", nargs="+", default=[], metavar="N", help="GPUs to share out among them")
    parser.add_argument(
        "--baseline", default="", metavar="FILE", help="single-task results to compare with (default: the runs' own)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only list the runs and their options")
    words, options = split_options(sys.argv[1:] if arguments is None else arguments)
    return parser.parse_args(words), options


def split_options(words):
    """Tell KEY VALUE from the rest: flags that take any number of words would take them, too.

    Returns:
        (list of other words, list of keys and values).
    """
    # those of tasks have a point, and are imported later
    names = {option.key for option in OPTIONS}
    others, options = [], []
    words = iter(words)
    for word in words:
        key, joined, value = word.partition("=")
        if word == "--variant":  # which takes two words, the second of which may look like an option
            others += [word, *itertools.islice(words, 2)]
        elif joined and (KEY.fullmatch(key) or key in names):
            options += [key, value]
        elif KEY.fullmatch(word) or word in names:
            options += [word, *(value for value in [next(words, None)] if value is not None)]
        else:
            others.append(word)
    return others, options


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from maskrcnn_benchmark.experiments.ablation import plan_ablation, run_ablation, summarize_runs
from maskrcnn_benchmark.experiments.ablation_plan import make_variant, resolve_method
from maskrcnn_benchmark.experiments.planned_runs import describe_runs, make_places, read_config
from maskrcnn_benchmark.modeling.fpn_heads.exchange import TASK_EXCHANGES
from maskrcnn_benchmark.multitask.aggregations import AGGREGATIONS
from maskrcnn_benchmark.multitask.weightings import WEIGHTINGS
from maskrcnn_benchmark.utils.env import setup_environment


def main():
    setup_environment()
    arguments, options = parse_arguments()
    methods = [resolve_method(name, WEIGHTINGS, AGGREGATIONS, TASK_EXCHANGES) for name in arguments.methods]
    methods += [make_variant(name, shlex.split(text)) for name, text in arguments.variant]
    place = arguments.config_file, arguments.output
    runs = plan_ablation(*place, arguments.tasks, methods, arguments.seeds, options)
    places = make_places(read_config(arguments.config_file, options), arguments.jobs, arguments.gpus)
    print(summarize_runs(runs, len(places)), flush=True)
    if arguments.dry_run:
        print(describe_runs(runs))
        return 0
    return 1 if run_ablation(runs, TRAIN, *place, options, places, arguments.baseline) else 0


if __name__ == "__main__":
    run_tool(main)
