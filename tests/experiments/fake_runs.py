"""Folders as runs leave them, made at once."""

import json

import yaml

HEADLINES = {"detection": "AP", "semantic": "mIoU", "boundary": "ODS-F", "classification": "mAP"}


def result_of(task, value, **more):
    """A task's entry of results.json."""
    headline = HEADLINES.get(task, "score")
    return {"headline": headline, "metrics": {headline: value}, "trivial": {}, "protocol": "", "per_class": {}, **more}


def make_run(folder, scores=None, options=None, record=None, test_set="mini_detail_val", results=None):
    """Write config.yml, and results.json and run.json where there is something for them.

    Args:
        folder: OUTPUT_DIR.
        scores: {task key: headline metric}.
        options: {"SOLVER.SEED": 1, ...}.
        record: what run.json holds.
        test_set: the one of DATASETS.TEST.
        results: in place of scores, all that results.json holds.
    """
    folder.mkdir(parents=True)
    tree = {"OUTPUT_DIR": str(folder), "DATASETS": {"TEST": [test_set]}}
    for key, value in (options or {}).items():
        *groups, name = key.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = value
    (folder / "config.yml").write_text(yaml.safe_dump(tree))
    if scores or results:
        results = results or {task: result_of(task, value) for task, value in scores.items()}
        (folder / "results.json").write_text(json.dumps(results))
    if record is not None:
        (folder / "run.json").write_text(json.dumps(record))
    return folder
