"""The tools under test: how each is called, what it leaves, and when a folder of it is whole and the same."""

import json
import os
import re
import runpy
import shutil
import sqlite3
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from faults import child
from faults.workplace import MINI, ROOT

WEIGHTS = "model_final.pth"
# Of a tool that was ended by SIGINT, SIGTERM or SIGHUP, in this order: 130 of an interruption, or 128 and the signal
STOPPED = (130, 143, 129)
_TEMPORARY = re.compile(r"(^|/)\.|\.(tmp|part|partial)(-|\.|$|/)|\.partial-|\.tmp-")


@dataclass(frozen=True)
class Tool:
    """A command-line tool.

    Attributes:
        name: what cases call it.
        script: file of tools/, or a module of the package.
        arguments: (workplace, output folder) -> its words.
        prepare: (workplace, output folder) -> None puts its input into the folder.
        same: patterns of files whose bytes do not depend on when it ran.
        imports: seconds that a fresh interpreter takes to begin.
    """

    name: str
    script: str
    arguments: Callable
    prepare: Callable = lambda workplace, out: None
    same: tuple = ()

    def function(self, workplace, out, more=()):
        """A function for `child.Child` that runs the tool in a fork."""
        words = [*map(str, self.arguments(workplace, out)), *map(str, more)]

        def call():
            os.environ["MPLBACKEND"] = "Agg"
            if self.script.endswith(".py"):
                path = str(ROOT / "tools" / self.script)
                sys.argv = [path, *words]
                sys.path.insert(0, str(ROOT / "tools"))
                runpy.run_path(path, run_name="__main__")
            else:
                sys.argv = [self.script, *words]
                runpy.run_module(self.script, run_name="__main__", alter_sys=True)

        return call

    def fresh(self, workplace, out, settings=None, more=()):
        """The same in a fresh interpreter."""
        words = [*map(str, self.arguments(workplace, out)), *map(str, more)]
        script = [str(ROOT / "tools" / self.script)] if self.script.endswith(".py") else ["-m", self.script]
        return child.fresh([*script, *words], settings=settings)


def _train(workplace, out):
    return ["--config-file", MINI, "--skip-test", *workplace.options(out)]


def _test(workplace, out):
    options = ("OUTPUT_DIR", out, "DATASETS.DATA_DIR", workplace.data, "TEST.TRIVIAL", False)
    return ["--ckpt", workplace.checkpoint, *options]


def _predict(workplace, out):
    images = workplace.data / "mini_detail" / "images"
    where = ("--output", out, "--save-answers", out / "answers")
    return [workplace.checkpoint, images, "--json", *where, "--device", "cpu"]


def _prepare(workplace, out):
    images = workplace.data / "mini_detail" / "images"
    where = ("--annotations", out / "annotations.json", "--images", images, "--out", out)
    return [*where, "--problems", out / "problems.csv", "--workers", 1]


def _copy_annotations(workplace, out):
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(workplace.data / "mini_detail" / "annotations.json", out / "annotations.json")


def _evaluate(workplace, out):
    data = ("DATASETS.DATA_DIR", workplace.data)
    return [
        "--config-file",
        workplace.config,
        "--predictions",
        workplace.answers,
        "--output",
        out,
        "--workers",
        1,
        *data,
    ]


def _export(workplace, out):
    return [workplace.checkpoint, "--output", out, "--format", "program", "--tasks", "classification"]


def _explore(workplace, out):
    data = ("DATASETS.DATA_DIR", workplace.data)
    return ["--config-file", workplace.config, "--output", out / "page.html", "--sample", 3, "--workers", 1, *data]


def _mini_detail(workplace, out):
    return ["--out", out / "mini_detail", "--train", 3, "--val", 2]


def _compare(workplace, out):
    folders = sorted(workplace.runs.iterdir())
    return [*folders, "--output", out / "comparison.html", "--json", out / "comparison.json"]


TRAIN = Tool("train", "train_net.py", _train)
OTHERS = (
    Tool("test", "test_net.py", _test, same=("inference/*/results.json",)),
    Tool("predict", "predict.py", _predict, same=("*.json", "*.png", "answers/*.json")),
    Tool("prepare", "prepare_detail.py", _prepare, _copy_annotations, same=("problems.csv",)),
    Tool("evaluate", "evaluate.py", _evaluate, same=("results.json",)),
    Tool("export", "export_model.py", _export),
    Tool("explore", "explore_dataset.py", _explore),
    Tool(
        "mini_detail",
        "maskrcnn_benchmark.data.mini_detail",
        _mini_detail,
        same=("mini_detail/annotations.json", "mini_detail/images/*.jpg"),
    ),
    Tool("compare", "compare_runs.py", _compare),
)
TOOLS = {tool.name: tool for tool in (TRAIN, *OTHERS)}


def names_in(folder):
    """Names of all files below a folder, hidden ones included; those of TensorBoard, which hold a time, as one: set."""
    found = set()
    for base, _, files in os.walk(folder):
        for file in files:
            name = os.path.relpath(os.path.join(base, file), folder)
            found.add(re.sub(r"events\.out\.tfevents\..*", "events", name))
    return found


def check_whole(folder):
    """Problems of files that have their real name and are not whole: list."""
    problems = []
    for name in sorted(names_in(folder)):
        path = Path(folder) / name
        if _TEMPORARY.search(name) or not path.is_file():
            continue
        reason = _damage(path)
        if reason:
            problems.append(f"{name} is half-written: {reason}")
    return problems


def _damage(path):
    """What is wrong with a file, "" if nothing."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix in (".pth", ".pt2", ".zip"):
            with zipfile.ZipFile(path) as archive:
                return archive.testzip() or ""
        elif path.suffix in (".png", ".jpg"):
            from PIL import Image

            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".sqlite":
            with closing(sqlite3.connect(path)) as connection:
                (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
                return "" if answer == "ok" else answer
        elif path.suffix == ".html":
            return "" if path.read_text().rstrip().endswith("</html>") else "it has no end"
        elif path.name == "last_checkpoint":
            named = path.read_text().strip()
            return "" if named and Path(named).is_file() else f"it names {named!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def check_same(tool, folder, reference):
    """What differs between a folder and that of an undisturbed run: list of problems."""
    problems = check_whole(folder)
    names, wanted = names_in(folder), names_in(reference)
    if names - wanted:
        problems.append(f"left-overs: {', '.join(sorted(names - wanted)[:4])}")
    if wanted - names:
        problems.append(f"lacking: {', '.join(sorted(wanted - names)[:4])}")
    for pattern in tool.same:
        for path in sorted(Path(reference).glob(pattern)):
            mine = Path(folder) / path.relative_to(reference)
            if mine.is_file() and mine.read_bytes() != path.read_bytes():
                problems.append(f"{mine.relative_to(folder)} differs from that of an undisturbed run")
    if tool.name == "train" and not problems:
        problems += check_weights(folder, reference)
    return problems


def check_weights(folder, reference):
    """Whether two trainings ended with the same weights, bit for bit: list of problems."""
    import torch

    mine, theirs = (
        torch.load(Path(each) / WEIGHTS, map_location="cpu", weights_only=True)["model"] for each in (folder, reference)
    )
    if mine.keys() != theirs.keys():
        return ["the final weights have other names than those of the undisturbed run"]
    # NaN is not equal to itself
    odd = [name for name in mine if mine[name].numpy().tobytes() != theirs[name].numpy().tobytes()]
    return [f"{len(odd)} tensors differ from those of the undisturbed run, such as {odd[0]}"] if odd else []
