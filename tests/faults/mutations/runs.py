"""Damaged and strangers' folders of runs, compared."""

import json
import shutil

from fuzzing import damage_bytes, damage_tree

from faults.mutations.attempt import Attempt, mutation_class


def runs(case):
    """Two runs side by side, one of which has a damaged file."""
    from maskrcnn_benchmark.experiments.comparison import compare_folders
    from maskrcnn_benchmark.experiments.comparison_files import write_comparison
    from maskrcnn_benchmark.experiments.comparison_report import format_text

    folder = case.out / "run"
    shutil.copytree(case.workplace.runs / "a", folder)
    if not (folder / "results.json").is_file():
        results = sorted(case.workplace.references["test"].folder.glob("inference/*/results.json"))[0]
        shutil.copyfile(results, folder / "results.json")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = case.random.choice(files)
    data = path.read_bytes()
    if path.suffix == ".json" and case.random.random() < 0.8:
        tree = json.loads(data)
        what = damage_tree(case.random, tree)
        data = json.dumps(tree).encode()
    elif path.suffix == ".yml" and case.random.random() < 0.8:
        import yaml

        tree = yaml.safe_load(data)
        what = damage_tree(case.random, tree)
        data = yaml.safe_dump(tree).encode()
    else:
        data, what = damage_bytes(case.random, data)
    path.write_bytes(data)
    writes = case.random.random() < 0.3
    first = case.random.random() < 0.5
    both = [folder, case.workplace.runs / "b"]

    def door():
        comparison = compare_folders(both if first else both[::-1])
        format_text(comparison)
        if writes:
            write_comparison(comparison, case.out / "page.html", case.out / "figures.json")

    return Attempt(f"{path.relative_to(folder)}: {what}", door, (path.name, str(folder)))


CLASSES = [mutation_class("runs", 450, runs)]
