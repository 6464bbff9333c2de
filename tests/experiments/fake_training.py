"""Stands for tools/train_net.py: leaves the results that a file says, at once.

Words: FILE --config-file F OUTPUT_DIR DIR [KEY VALUE ...]. FILE is JSON, {"SUBSET/METHOD": {task: [metric of seed 0,
of seed 1, ...]}}; what it does not name fails, and "interrupt" in a task table's place is a user's Ctrl-C in the middle
of this training.
"""

import json
import os
import signal
import sys
from pathlib import Path

HEADLINES = {"semantic": "mIoU", "boundary": "ODS-F", "keypoint": "AP", "detection": "AP"}


def main():
    file, _, _, *words = sys.argv[1:]
    options = dict(zip(words[::2], words[1::2]))
    folder = Path(options["OUTPUT_DIR"])
    subset, method, _ = folder.parts[-3:]
    note = {"options": options, "threads": os.environ.get("OMP_NUM_THREADS"), "gpu": os.environ["CUDA_VISIBLE_DEVICES"]}
    with open(folder / "calls.jsonl", "a") as calls:
        calls.write(json.dumps(note) + "\n")
    scores = json.loads(Path(file).read_text()).get(f"{subset}/{method}")
    if scores is None:
        print("a line before\n50%|##\rerror: out of luck\n")
        return 1
    if scores == "interrupt":
        return interrupted(folder)
    scores = {task: values[int(options["SOLVER.SEED"])] for task, values in scores.items()}
    results = {t: {"headline": HEADLINES[t], "metrics": {HEADLINES[t]: v}, "trivial": {}} for t, v in scores.items()}
    (folder / "model_0000100.pth").write_text("on the way")
    (folder / "model_final.pth").write_text("at the end")
    (folder / "results.json").write_text(json.dumps(results))
    return 0


def interrupted(folder):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    os.kill(os.getppid(), signal.SIGINT)
    signal.sigwait([signal.SIGTERM])
    (folder / "last_checkpoint").write_text("model_0000007.pth")
    print("stopped after iteration 7")
    return 130


if __name__ == "__main__":
    sys.exit(main())
