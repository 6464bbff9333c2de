"""Score predictions that lie in files, of any network, without running one.

python tools/evaluate.py --config-file configs/detail/mini_R_18_FPN.yaml --predictions FOLDER
python tools/evaluate.py --annotations val.json --layout coco --bbox boxes.json
"""

import argparse
import dataclasses
import os
from pathlib import Path

from maskrcnn_benchmark.config import record_of
from maskrcnn_benchmark.experiments.dataset_arguments import add_dataset_arguments
from maskrcnn_benchmark.tasks.names import file_options, task_keys
from maskrcnn_benchmark.utils.arguments import in_range, workers
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.errors import UserError


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    given = parser.add_argument_group("predictions")
    given.add_argument("--predictions", metavar="FOLDER", help="a folder that tools/test_net.py wrote, or like it")
    given.add_argument(
        "--tasks", metavar="A,B", help="of " + ", ".join(task_keys()) + "; by default all that are there"
    )
    given.add_argument(
        "--first-class",
        type=int,
        choices=(0, 1),
        default=1,
        help="number of the first class in semantic maps: 1 as this library writes them, 0 as most others "
        "(default: %(default)s)",
    )
    truth = parser.add_argument_group("annotations, of a config's data set or of a file")
    add_dataset_arguments(truth, split="val", images_help="which scores do not need")
    how = parser.add_argument_group("definitions; by default the config's, or those of published figures")
    how.add_argument("--edge-thresholds", type=in_range(record_of("TEST.EDGE_THRESHOLDS").range), metavar="N")
    how.add_argument("--edge-conventions", choices=record_of("TEST.EDGE_CONVENTIONS").range.values)
    how.add_argument(
        "--edge-max-distance",
        type=in_range(record_of("TEST.EDGE_MAX_DISTANCE").range),
        metavar="SHARE",
        help="tolerance, as a share of the diagonal",
    )
    how.add_argument("--no-edge-nms", action="store_true", help="take soft edge maps without thinning them to ridges")
    how.add_argument(
        "--boundary-protocol",
        choices=record_of("TEST.BOUNDARY_PROTOCOL").range.values,
        help="boundaries by the rules of a published program (docs/evaluation.md), whatever the other options say",
    )
    how.add_argument("--detection-protocol", choices=record_of("TEST.DETECTION_PROTOCOL").range.values)
    how.add_argument(
        "--class-mean",
        choices=record_of("TEST.CLASS_MEAN").range.values,
        help="mean IoU over the classes that are annotated anywhere, or over all",
    )
    parser.add_argument(
        "--workers", type=workers, default=os.cpu_count() or 1, metavar="N", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--single-task", metavar="FILE", default="", help="results of single-task networks, to state Delta_m"
    )
    parser.add_argument(
        "--delta-m-metrics",
        choices=record_of("TEST.DELTA_M_METRICS").range.values,
        default="headline",
        help="over which (default: %(default)s)",
    )
    parser.add_argument(
        "--image-list", metavar="FILE", default="", help="names of images, one a line, to state scores on as well"
    )
    parser.add_argument(
        "--examples",
        type=in_range(record_of("TEST.NUM_EXAMPLES").range),
        default=3,
        metavar="N",
        help="worst and best images of the report (default: 3)",
    )
    parser.add_argument("--output", default="evaluation", metavar="DIR", help="for results (default: %(default)s)")
    for file in file_options():
        text = f"{file.text}; in the folder's place".replace("%", "%%")
        try:
            given.add_argument(file.option, dest=f"source_{file.key}", metavar=file.metavar, help=text)
        except argparse.ArgumentError:
            raise UserError(f"{file.option} is an option already; give that of {file.key!r} another name") from None
    return parser.parse_intermixed_args(arguments)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from maskrcnn_benchmark.engine.delta_m import read_single_task
from maskrcnn_benchmark.engine.evaluation_report import RESULTS, EvaluationReport
from maskrcnn_benchmark.engine.image_subset import read_image_subset
from maskrcnn_benchmark.engine.inference import Evaluation
from maskrcnn_benchmark.engine.results import format_table
from maskrcnn_benchmark.engine.score_files import score_files
from maskrcnn_benchmark.engine.trivial_baseline import TRIVIAL, kept_metrics
from maskrcnn_benchmark.evaluation.protocols import DETAIL_TOOLKIT, Protocols, boundary_protocol, build_protocols
from maskrcnn_benchmark.experiments.open_dataset import (
    dataset_config,
    dataset_name,
    open_dataset,
)
from maskrcnn_benchmark.prediction_files.layout import files_of
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions, tasks_of
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.env import setup_environment
from maskrcnn_benchmark.utils.logger import setup_logger


def main():
    setup_environment()
    arguments = parse_arguments()
    setup_logger("maskrcnn_benchmark", "", 0)
    if arguments.single_task:
        read_single_task(arguments.single_task, arguments.delta_m_metrics)  # before minutes are spent
    sources = find_sources(arguments)
    tasks = chosen_tasks(arguments, sources)
    cfg = dataset_config(arguments, tasks)
    protocols = choose_protocols(arguments, cfg)
    dataset = open_dataset(arguments, cfg, tasks)
    check_annotated(arguments, dataset, tasks, protocols)
    image_list = arguments.image_list or (cfg.TEST.IMAGE_LIST if cfg is not None else "")
    subset = read_image_subset(image_list, dataset) if image_list else None
    evaluation = Evaluation([TASKS[key] for key in tasks], protocols, arguments.workers)
    is_toolkit = protocols.detection == DETAIL_TOOLKIT
    predictions = PredictionReader(dataset, sources, evaluation.tasks, is_toolkit, arguments.first_class)
    evaluators = score_files(evaluation, dataset, predictions)
    trivial = {}
    if arguments.predictions and cfg is not None:  # a test of the same data set has measured it already
        path = Path(arguments.predictions) / TRIVIAL
        trivial = kept_metrics(path, cfg.DATASETS.TEST[0], len(dataset), protocols)
    how = {"subset": subset, "delta_m_metrics": arguments.delta_m_metrics}
    report = EvaluationReport(evaluators, dataset, trivial, arguments.single_task, **how)
    print(format_table(report.results))  # first: it needs no folder that can be written to
    report.write(arguments.output)
    title = f"Evaluation on {dataset_name(arguments, cfg)}"
    facts = [("images", str(len(dataset))), *((key, str(path)) for key, path in sources.items())]
    facts += [] if subset is None else [("image list", str(subset))]
    page = report.write_page(arguments.output, title, facts, arguments.examples, predictions)
    print(f"results: {Path(arguments.output) / RESULTS}\nreport: {page}")


def find_sources(arguments):
    """{key of a list or of maps: path}: those of --predictions, replaced by what is named alone."""
    sources = find_predictions(arguments.predictions, TASKS.values()) if arguments.predictions else {}
    files = files_of(TASKS.values())
    named = {file.key: getattr(arguments, f"source_{file.key}") for file in files}
    sources.update({key: Path(path) for key, path in named.items() if path})
    if not sources:
        options = ", ".join(file.option for file in files)
        raise UserError(f"name the predictions: --predictions FOLDER, or one of {options}")
    return sources


def chosen_tasks(arguments, sources):
    """Keys of the tasks to score: list of str."""
    if not arguments.tasks:
        return [task.key for task in tasks_of(sources, TASKS.values())]
    tasks = [name.strip() for name in arguments.tasks.split(",")]
    unknown = [name for name in tasks if name not in TASKS]
    if unknown:
        raise UserError(f"--tasks: {unknown[0]!r} is unknown; there are {', '.join(TASKS)}")
    return [task for task in TASKS if task in tasks]


def check_annotated(arguments, dataset, tasks, protocols):
    """Raise `UserError` where a task that is asked for by name, or every one that is found, has no annotated image."""
    if protocols.detection == DETAIL_TOOLKIT:  # scores all images
        return
    lacking = set(tasks)
    for index in range(len(dataset)):
        lacking -= dataset.tasks_of(index)
        if not lacking:
            return
    by_name = [key for key in tasks if key in lacking and (arguments.tasks or not arguments.predictions)]
    if by_name or len(lacking) == len(tasks):
        what = (by_name or tasks)[0]
        raise UserError(f"no image of the data set is annotated for the task {what!r}, so nothing of it can be scored")


def choose_protocols(arguments, cfg):
    """The `Protocols`: the config's, or the published ones, with what the command line says instead."""
    protocols = Protocols() if cfg is None else build_protocols(cfg)
    edges = {
        "thresholds": arguments.edge_thresholds,
        "conventions": arguments.edge_conventions,
        "max_distance": arguments.edge_max_distance,
        "suppress_non_maxima": False if arguments.no_edge_nms else None,
    }
    edges = {name: value for name, value in edges.items() if value is not None}
    chosen = dataclasses.replace(protocols.edges, **edges)
    of_config = "" if protocols.boundary is None else protocols.boundary.name
    name = of_config if arguments.boundary_protocol is None else arguments.boundary_protocol
    return Protocols(
        chosen,
        arguments.detection_protocol or protocols.detection,
        arguments.class_mean or protocols.class_mean,
        boundary_protocol(name, chosen),
    )


if __name__ == "__main__":
    run_tool(main)
