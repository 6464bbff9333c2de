"""Damaged folders of predictions, scored."""

import json
import shutil

from fuzzing import damage_bytes, damage_tree

from faults.mutations.attempt import Attempt, mutation_class

_SKIPPED = ("report.html", "results.json", "summary.json")


def predictions(case):
    """A folder of predictions with one damaged file."""
    from maskrcnn_benchmark.data.datasets import DetailDataset
    from maskrcnn_benchmark.engine.inference import Evaluation
    from maskrcnn_benchmark.engine.score_files import score_files
    from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions, tasks_of
    from maskrcnn_benchmark.tasks.task import TASKS

    folder = case.out / "answers"
    shutil.copytree(case.workplace.answers, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _SKIPPED)
    path = case.random.choice(files)
    data = path.read_bytes()
    if path.suffix == ".json" and case.random.random() < 0.75:
        tree = json.loads(data)
        what = damage_tree(case.random, tree)
        data = json.dumps(tree).encode()
    elif case.random.random() < 0.1:
        path.unlink()
        data, what = None, "missing"
    else:
        data, what = damage_bytes(case.random, data)
    if data is not None:
        path.write_bytes(data)
    data_set = case.workplace.data / "mini_detail"

    def door():
        dataset = DetailDataset(data_set / "annotations.json", None, "val")
        sources = find_predictions(folder, TASKS.values())
        # what the damaged file belongs to alone: scoring everything takes seconds
        owners = {key: source for key, source in sources.items() if path == source or path.is_relative_to(source)}
        owners = owners or dict(sorted(sources.items())[:1])
        tasks = tasks_of(owners, TASKS.values())
        if tasks:
            score_files(Evaluation(tasks), dataset, PredictionReader(dataset, owners, tasks))

    names = (path.name, path.parent.name, str(folder))
    return Attempt(f"{path.relative_to(folder)}: {what}", door, names, place=True)


def warm(workplace):
    """Import what scoring imports late."""
    from maskrcnn_benchmark.data.datasets import DetailDataset  # noqa: F401
    from maskrcnn_benchmark.engine.score_files import score_files  # noqa: F401


CLASSES = [mutation_class("predictions", 400, predictions, warm=warm)]
