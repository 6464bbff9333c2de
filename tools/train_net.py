"""Train a network, evaluate it and draw its answers, or several networks that differ in some options, side by side.

python tools/train_net.py --config-file configs/detail/mini_R_18_FPN.yaml SOLVER.MAX_ITER 100
torchrun --nproc_per_node=8 tools/train_net.py --config-file configs/e2e_mask_rcnn_R_50_FPN_1x.yaml
python tools/train_net.py --sweep SOLVER.BASE_LR=0.002,0.004 --sweep SOLVER.SEED=0,1,2 OUTPUT_DIR output/rates
"""

import os
import sys
from pathlib import Path

from maskrcnn_benchmark.utils.arguments import OptionWords, jobs
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import counted

ROOT = Path(__file__).resolve().parents[1]


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument(
        "--config-file",
        default="auto",
        metavar="FILE",
        help='a yaml of configs/, or "auto": full size with a GPU and the data set, else the embedded data set, on the '
        "GPU if there is one",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="accepted; torchrun sets LOCAL_RANK")
    parser.add_argument("--skip-test", action="store_true", help="end after training, without evaluation and pictures")
    sweep = parser.add_argument_group("sweeps: OUTPUT_DIR gets a folder for each run; the same command goes on")
    sweep.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="KEY=A,B,C",
        help="a run for each value; given several times, for each combination. (1,2),(3,4) are two values",
    )
    sweep.add_argument("--jobs", type=jobs, metavar="N", help="trainings at a time (default: one per GPU, else 1)")
    sweep.add_argument("--gpus", default="", metavar="N,N", help="GPUs to share out among them, such as 0,1,2")
    sweep.add_argument("--dry-run", action="store_true", help="only list the runs and their options")
    parser.add_argument(
        "opts", nargs="*", action=OptionWords, metavar="KEY VALUE", help="options of the config to change"
    )
    return parser.parse_intermixed_args(arguments)  # flags may stand before and after them


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.selection import choose_config
from maskrcnn_benchmark.experiments.planned_runs import describe_runs, is_done, make_places
from maskrcnn_benchmark.experiments.run import train
from maskrcnn_benchmark.experiments.setup import end_run
from maskrcnn_benchmark.experiments.sweep import plan_sweep, run_sweep
from maskrcnn_benchmark.utils.devices import AUTO, resolve_device
from maskrcnn_benchmark.utils.env import setup_environment


def choose_config_file(config_file, opts):
    """The file itself, or the one that suits this machine in place of "auto"."""
    if config_file != "auto":
        return config_file
    asked = default_cfg.clone()
    asked.merge_from_list(opts)
    device = asked.MODEL.DEVICE if asked.is_given("MODEL.DEVICE") else AUTO
    name, reason = choose_config(asked.DATASETS.DATA_DIR, device)
    config_file = os.path.relpath(ROOT / name)
    if int(os.environ.get("RANK", "0")) == 0:
        asked.merge_from_file(config_file)
        asked.merge_from_list(opts)
        print(f"config: {config_file} ({reason}), on {_place(asked.MODEL.DEVICE)}", flush=True)
    return config_file


def _place(device):
    """The device as the line above names it, without starting CUDA: "the CPU", "cuda:0"."""
    device = resolve_device(device)
    return "the CPU" if device.type == "cpu" else str(device)


def read_config(config_file, opts):
    """The config of a file, or of the one that suits this machine, with options changed."""
    cfg = default_cfg.clone()
    cfg.merge_from_file(choose_config_file(config_file, opts))
    cfg.merge_from_list(opts)
    return cfg


def sweep(arguments):
    """Train what --sweep asks for; returns the exit code."""
    if "RANK" in os.environ:
        raise UserError("--sweep starts trainings itself: call it without torchrun, and share out GPUs with --gpus 0,1")
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UserError(f"--jobs {arguments.jobs} must be 1 or more")
    config_file = choose_config_file(arguments.config_file, arguments.opts)
    base, runs = plan_sweep(config_file, arguments.sweep, arguments.opts, arguments.skip_test)
    gpus = arguments.gpus.split(",") if arguments.gpus else []
    places = make_places(read_config(config_file, arguments.opts), arguments.jobs, gpus)
    done = sum(map(is_done, runs))
    print(f"{counted(len(runs), 'run')} in {base}, of which {done} are done; {len(places)} at a time", flush=True)
    if arguments.dry_run:
        print(describe_runs(runs))
        return 0
    command = [sys.executable, str(Path(__file__).resolve()), *(["--skip-test"] if arguments.skip_test else [])]
    failed = run_sweep(runs, base, command, config_file, places)
    for run, words in failed.items():
        print(f"error: {run.name} failed: {words.removeprefix('error: ')}", file=sys.stderr)
    return 1 if failed else 0


def main(arguments=None):
    setup_environment()
    arguments = parse_arguments(arguments)
    if arguments.sweep:
        return sweep(arguments)
    if arguments.jobs is not None or arguments.gpus or arguments.dry_run:
        raise UserError("--jobs, --gpus and --dry-run belong to --sweep KEY=A,B,C")
    train(read_config(arguments.config_file, arguments.opts), arguments.skip_test)
    end_run()
    return 0


if __name__ == "__main__":
    run_tool(main)
