"""Imports point downwards: each room knows only those below it, and tasks are known by name to none of these."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "maskrcnn_benchmark"
# From the ground up; rooms on one floor may know one another's modules as listed below
FLOORS = (
    ("utils", "config"),
    ("structures", "layers"),
    ("modeling", "multitask", "solver", "data", "evaluation", "prediction_files", "visualization"),
    ("tasks",),
    ("engine",),
    ("experiments", "predict"),
    ("export", "demo"),
)
# Of rooms on one floor: which may import which
BESIDE = {
    ("config", "utils"),
    ("utils", "config"),
    ("structures", "layers"),
    ("solver", "multitask"),
    ("evaluation", "prediction_files"),
    ("visualization", "evaluation"),
    ("visualization", "data"),
    ("predict", "experiments"),
    ("export", "demo"),
}
# What gets nothing but a config, or the keys of tasks, and so looks tasks up by itself, inside a function
DOORS = {
    "config/__init__.py": "config.cfg has the options of all tasks",
    "config/check.py": "check_options, which gets a config alone",
    "data/build.py": "make_data_loader, bind_vocabulary",
    "data/build_dataset.py": "build_dataset, which a catalog's names lead to",
    "data/dataset.py": "data sets that are opened with keys of tasks",
    "data/mapped_dataset.py": "MappedDataset(dataset, vocabulary)",
    "modeling/detector/detectors.py": "build_detection_model",
    "modeling/roi_heads/roi_heads.py": "build_roi_heads, as the original calls it",
    "solver/build.py": "make_optimizer",
}


def floor_of(room):
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def rooms_of(tree):
    """(room, whether the import is made with the module, line) of each import; those for type checkers are left out."""
    top = {id(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)}
    for block in ast.walk(tree):
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            block.body = [ast.Pass()]
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            top -= {id(node) for node in ast.walk(function)}
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("maskrcnn_benchmark"):
            names = [node.module] if "." in node.module else [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("maskrcnn_benchmark.")]
        for name in names:
            yield name.split(".")[1], id(node) in top, node.lineno


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        if len(place.parts) > 1:
            yield place, ast.parse(path.read_text())


def test_imports_point_downwards():
    wrong = []
    for place, tree in modules():
        room = place.parts[0]
        for other, at_top, line in rooms_of(tree):
            if other == room or (room, other) in BESIDE or other not in {r for rooms in FLOORS for r in rooms}:
                continue
            if floor_of(other) >= floor_of(room) and (at_top or str(place) not in DOORS):
                wrong.append(f"{place}:{line} imports {other}")
    assert not wrong, "\n".join(wrong)


def test_the_doors_are_those_that_are_listed():
    found = {
        str(place)
        for place, tree in modules()
        if floor_of(place.parts[0]) < floor_of("tasks") and any(room == "tasks" for room, _, _ in rooms_of(tree))
    }
    assert found == set(DOORS)
