"""Stands for tools/train_net.py in a sweep: leaves a config and results at once.

Words: FILE [--skip-test] --config-file F OUTPUT_DIR DIR [KEY VALUE ...]. FILE is JSON, {folder's name: mIoU}; what it
does not name fails, and "interrupt" is a user's Ctrl-C in the middle of this training.
"""

import json
import os
import signal
import sys
from pathlib import Path

import yaml


def main():
    words = sys.argv[2:]
    skip_test = words[0] == "--skip-test"
    options = dict(zip(words[2 + skip_test :: 2], words[3 + skip_test :: 2]))
    folder = Path(options["OUTPUT_DIR"])
    with open(folder / "calls.jsonl", "a") as calls:
        calls.write(json.dumps({"options": options, "gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}) + "\n")
    score = json.loads(Path(sys.argv[1]).read_text()).get(folder.name)
    if score is None:
        print("a line before\nerror: out of luck")
        return 1
    tree = {"DATASETS": {"TEST": ["mini_detail_val"]}, "SOLVER": {}}
    for key in ("SEED", "BASE_LR", "MAX_ITER"):
        if f"SOLVER.{key}" in options:
            tree["SOLVER"][key] = float(options[f"SOLVER.{key}"])
    (folder / "config.yml").write_text(yaml.safe_dump(tree))
    if score == "interrupt":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        os.kill(os.getppid(), signal.SIGINT)
        signal.sigwait([signal.SIGTERM])
        (folder / "last_checkpoint").write_text("model_0000007.pth")
        return 130
    (folder / "model_final.pth").write_text("at the end")
    if not skip_test:
        result = {"headline": "mIoU", "metrics": {"mIoU": score}, "trivial": {}, "protocol": "", "per_class": {}}
        (folder / "results.json").write_text(json.dumps({"semantic": result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
