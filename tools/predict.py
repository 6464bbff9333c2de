"""Predict on images, folders, videos or a webcam with a trained network, and write pictures, JSON or files to score.

python tools/predict.py output/mini_R_18_FPN/model_final.pth photo.jpg shots/ street.mp4
python tools/predict.py model_final.pth photo.jpg --show grid --threshold detection=0.7 semantic=0.4
python tools/predict.py model_final.pth shots/ --tasks semantic,boundary --show panels --json --output answers
python tools/predict.py model_final.pth webcam:0

An overlay shows masks, names with scores and keypoints on the photograph, or what --tasks names; a grid has a panel for
every task; a scene is one picture of all segments, with their parts and arrows from what is in front to what is behind.
What cannot be read is named and passed over, and the exit status is 1 then.
"""

import re
from argparse import BooleanOptionalAction
from pathlib import Path

from maskrcnn_benchmark.tasks.names import task_keys
from maskrcnn_benchmark.utils.arguments import in_range, option_words, positive
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Integer, Number
from maskrcnn_benchmark.utils.text import counted

LAYOUTS = ("overlay", "grid", "panels", "scene", "none")
OPTION_NAME = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)*")


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__, takes_options=True)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a trained network, such as model_final.pth")
    parser.add_argument(
        "words", nargs="+", metavar="SOURCE", help="images, folders, patterns, videos, webcam:0; then KEY VALUE ..."
    )
    parser.add_argument("--config-file", default="", metavar="FILE", help="of a checkpoint that carries no config")
    parser.add_argument("--tasks", metavar="A,B", help="of " + ", ".join(task_keys()) + "; heads of others are not run")
    parser.add_argument(
        "--threshold",
        nargs="+",
        action="extend",
        default=[],
        metavar="TASK=X",
        help="what has to be reached to be shown; a number alone is for all tasks per object, such as detection",
    )
    parser.add_argument(
        "--show",
        choices=LAYOUTS,
        default="overlay",
        help="pictures to make (default: %(default)s)",
    )
    parser.add_argument(
        "--scale",
        type=in_range(Number(0, 100, above=True)),
        metavar="X",
        help="pixels of a picture per pixel of the image",
    )
    parser.add_argument("--json", action="store_true", help="write all predictions on each image into NAME.json")
    parser.add_argument("--save-answers", metavar="DIR", help="write a folder that tools/evaluate.py reads")
    parser.add_argument("--output", default="predictions", metavar="DIR", help="for the rest (default: %(default)s)")
    parser.add_argument(
        "--batch-size", type=in_range(Integer(1, 2**16)), default=1, metavar="N", help="(default: %(default)s)"
    )
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ... (default: a GPU where there is one)")
    parser.add_argument("--every", type=positive, default=1, metavar="N", help="of a video, take each N-th frame")
    parser.add_argument("--recursive", action="store_true", help="look into subfolders, too")
    parser.add_argument(
        "--rotate",
        action=BooleanOptionalAction,
        default=True,
        help="turn photographs upright as their EXIF data says (default: they are)",
    )
    parser.add_argument("--allow-urls", action="store_true", help="fetch sources that are http(s) addresses")
    parsed = parser.parse_intermixed_args(arguments)
    parsed.sources, parsed.opts = split_words(parsed.words)
    return parsed


def split_words(words):
    """Sources, and the KEY VALUE ... that follow: from the first word that is called like an option of the config."""
    names = enumerate(word.partition("=")[0] for word in words)
    start = next((i for i, w in names if OPTION_NAME.fullmatch(w) and not Path(words[i]).exists()), len(words))
    if start == 0:
        raise UserError(f"name an image, a folder, a video or a webcam before {words[0]}")
    return words[:start], option_words(words[start:])


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from maskrcnn_benchmark.predict.output import JsonFiles, PictureFiles, PredictionFolder, Window, write_results
from maskrcnn_benchmark.predict.predicted_image import merge_thresholds
from maskrcnn_benchmark.predict.predictor import Predictor
from maskrcnn_benchmark.predict.sources import count_frames, is_live
from maskrcnn_benchmark.predict.video import can_show_windows, webcam_number
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.env import setup_environment


def main(arguments=None):
    setup_environment()
    arguments = parse_arguments(arguments)
    tasks = None if arguments.tasks is None else [name.strip() for name in arguments.tasks.split(",") if name.strip()]
    thresholds = read_thresholds(arguments.threshold)
    check(arguments)
    how = {name: getattr(arguments, name) for name in ("every", "recursive", "allow_urls")}
    total = count_frames(arguments.sources, **how)
    predictor = Predictor(
        arguments.checkpoint, arguments.config_file, arguments.opts, arguments.device, thresholds, tasks
    )
    done = write_results(
        predictor,
        arguments.sources,
        build_writers(arguments, predictor, tasks),
        total,
        batch_size=1 if is_live(arguments.sources) else arguments.batch_size,  # pictures of a webcam must not wait
        rotate=arguments.rotate,
        **how,
    )
    print(describe(done, total, arguments))
    return 1 if done.skipped else 0


def read_thresholds(words):
    """{task key: threshold} of TASK=X and X."""
    thresholds = {}
    for word in words:
        task, _, value = word.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            raise UserError(f"--threshold {word}: a threshold is TASK=NUMBER, such as detection=0.7") from None
        per_object = [key for key, other in TASKS.items() if other.per == "region"]
        thresholds.update(dict.fromkeys([task] if task else per_object, number))
    merge_thresholds(thresholds)
    return thresholds


def _tasks_per_region():
    return [key for key, task in TASKS.items() if task.per == "region"]


def check(arguments):
    """Refuse what makes no sense before a network is loaded."""
    if arguments.show == "none" and not (arguments.json or arguments.save_answers):
        raise UserError("--show none leaves nothing to write; add --json or --save-answers DIR")
    live = [source for source in arguments.sources if webcam_number(source) is not None]
    if live and len(arguments.sources) > 1:
        raise UserError(f"{live[0]} never ends; name no other source beside it")


def build_writers(arguments, predictor, tasks):
    """What the predicted images are handed to."""
    writers = []
    if arguments.show != "none":
        live = is_live(arguments.sources)
        if live and can_show_windows():
            writers.append(Window(arguments.show, tasks, arguments.scale))
        else:
            if live:
                print(
                    "no window can be shown here (opencv-python has one if there is a display, opencv-python-headless "
                    f"none): writing a video into {arguments.output} until Ctrl-C"
                )
            writers.append(PictureFiles(arguments.output, arguments.show, tasks, arguments.scale))
    if arguments.json:
        writers.append(JsonFiles(arguments.output, scene=arguments.show == "scene"))
    if arguments.save_answers:
        writers.append(PredictionFolder(arguments.save_answers, predictor.vocabulary, predictor.tasks))
    return writers


def describe(done, total, arguments):
    """The last line: how many, how fast, where to."""
    folders = [arguments.output] if arguments.show != "none" or arguments.json else []
    folders += [arguments.save_answers] if arguments.save_answers else []
    count = counted(done.images, "image")
    if done.skipped:
        count = f"{done.images} of {max(total or 0, done.images + len(done.skipped))} images"
    return f"{count}, {done.seconds / max(1, done.images):.3f} s each, in {' and '.join(folders)}"


if __name__ == "__main__":
    run_tool(main)
