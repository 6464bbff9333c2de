"""Prove a machine: that training, predicting and evaluating start there, are right there, and how fast they are.

python tools/check_device.py --minutes 8
python tools/check_device.py --only versions,parity --minutes 2
python tools/check_device.py --list
"""

import tempfile
import time
from pathlib import Path

from checks.stages import STAGES
from maskrcnn_benchmark import __version__
from maskrcnn_benchmark.utils.arguments import in_range
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Number

REPORT = "check_device.json"
REWRITE_SECONDS = 1.0


def parse_arguments(argv=None):
    parser = ToolParser(__doc__)
    parser.add_argument(
        "--device", default="auto", help="auto, cuda, cuda:1, cpu (default auto: cuda where there is one, else cpu)"
    )
    parser.add_argument(
        "--minutes",
        type=in_range(Number(0, 1440, above=True)),
        default=8.0,
        help="that all stages together may take (default 8)",
    )
    parser.add_argument(
        "--json", default=REPORT, metavar="FILE", help="everything that was found (default %(default)s)"
    )
    parser.add_argument("--only", default="", metavar="STAGE,STAGE", help="these stages alone")
    parser.add_argument("--size", choices=("small", "full"), help="of networks and images (default: full with a GPU)")
    parser.add_argument("--list", action="store_true", help="name the stages and end")
    return parser.parse_args(argv)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from benchmarks.timing import write_json
from checks.report import format_result, format_summary, verdict_of
from checks.runner import Runner
from checks.stage import FAIL, Setting
from maskrcnn_benchmark.utils.devices import resolve_device


def choose_stages(stages, names):
    """Those that are named, separated by commas, in their own order; all where none is. Raises `UserError`."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = [stage.name for stage in stages]
    for name in wanted:
        if name not in known:
            raise UserError(f"--only {name}: there are the stages {', '.join(known)}")
    return [stage for stage in stages if not wanted or stage.name in wanted]


class Report:
    """The JSON file, written anew whenever something was found, so that whoever ends the check has what it found."""

    def __init__(self, path, head):
        self._path, self._head = path, head
        self._results, self._rows = [], {}
        self._written = 0.0

    def row(self, stage, row):
        """Take in what a stage that is still running has found."""
        self._rows.setdefault(stage.name, []).append(row.as_dict())
        if time.monotonic() - self._written > REWRITE_SECONDS:
            self.write("RUNNING")

    def result(self, result):
        """Take in a stage that has ended."""
        self._rows.pop(result.stage.name, None)
        self._results.append(result.as_dict())
        self.write("RUNNING")

    def write(self, verdict):
        """Put all into the file."""
        running = [{"stage": name, "verdict": "RUNNING", "rows": rows} for name, rows in self._rows.items()]
        write_json(self._path, {"verdict": verdict, **self._head, "stages": self._results + running})
        self._written = time.monotonic()


def main(argv=None, stages=STAGES):
    """Run the stages; returns 0 if none of them FAILs, else 1."""
    args = parse_arguments(argv)
    if args.list:
        width = max(len(stage.name) for stage in stages)
        print("\n".join(f"{stage.name:{width}}  {stage.summary}" for stage in stages))
        return 0
    chosen, device = choose_stages(stages, args.only), str(resolve_device(args.device, "--device"))
    if args.minutes <= 0:
        raise UserError(f"--minutes {args.minutes:g} must be above 0")
    if not Path(args.json).absolute().parent.is_dir():
        raise UserError(f"--json {args.json}: there is no folder {Path(args.json).absolute().parent}; make it first")
    small = args.size == "small" if args.size else device == "cpu"
    head = {
        "version": __version__,
        "device": device,
        "size": "small" if small else "full",
        "minutes": args.minutes,
        "begun": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    print(
        f"checking {device}, {head['size']} sizes, {len(chosen)} stages, at most {args.minutes:g} minutes", flush=True
    )
    report, results, start = Report(args.json, head), [], time.monotonic()
    report.write("RUNNING")
    width = max(len(stage.name) for stage in chosen)
    interrupted = None
    with tempfile.TemporaryDirectory(prefix="check_device_", ignore_cleanup_errors=True) as folder:
        try:
            with Runner(Setting(device, small, folder), 60 * args.minutes) as runner:
                for result in runner.run(chosen, report.row):
                    results.append(result)
                    report.result(result)
                    print(format_result(result, width), flush=True)
        except KeyboardInterrupt as interruption:
            interrupted = interruption
    verdict = verdict_of(results)
    report.write("INTERRUPTED" if interrupted else verdict)
    print(f"\n{format_summary(results, time.monotonic() - start)}\nwrote {args.json}", flush=True)
    if interrupted:
        raise interrupted
    return 1 if verdict == FAIL else 0


if __name__ == "__main__":
    run_tool(main)
