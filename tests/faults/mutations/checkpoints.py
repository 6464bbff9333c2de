"""Damaged checkpoints and strangers': to go on from, to use, to steal with."""

import copy
import io
import os
import pickle
import re
import shutil
import zipfile

from fuzzing import damage_bytes, damage_tree, odd_value, short

from faults.mutations.attempt import Attempt, mutation_class
from faults.workplace import MINI, PERIOD

RESUMED = 3 * PERIOD
_ENTRIES = (
    *("iteration", "optimizer", "scheduler", "loss_combiner", "grad_scaler", "random_states", "threads", "vocabulary"),
    *("seed", "config", "model", "model_ema", "ema_updates", "best_evaluation"),
)


def resume(case):
    """A training goes on from a damaged checkpoint, or from what a damaged `last_checkpoint` names."""
    import torch

    from maskrcnn_benchmark.config import cfg as default_cfg
    from maskrcnn_benchmark.experiments.run import train

    reference = case.workplace.references["train"].folder
    path = case.out / f"model_{RESUMED:07d}.pth"
    shutil.copyfile(reference / path.name, path)
    pointer = case.out / "last_checkpoint"
    pointer.write_text(str(path))
    if case.random.random() < 0.2:
        what = _damage_pointer(case.random, pointer)
        names = (pointer.name, path.name)
    else:
        tree = torch.load(path, weights_only=True)
        what = damage_entry(case.random, tree)
        torch.save(tree, path)
        names = (path.name, pointer.name)
    cfg = default_cfg.clone()
    cfg.merge_from_file(str(MINI))
    cfg.merge_from_list([*case.workplace.options(case.out), "SOLVER.MAX_ITER", str(RESUMED + 1)])

    def door():
        import json

        train(cfg, skip_test=True)
        record = json.loads((case.out / "run.json").read_text())
        begun = record["starts"][-1]["from_iteration"]
        return [] if begun == RESUMED else [f"went on from iteration {begun} of a checkpoint of iteration {RESUMED}"]

    return Attempt(what, door, names)


def damage_entry(random, tree):
    """Damage one entry of a checkpoint's tree in place; returns what was done in words."""
    key = random.choice([entry for entry in _ENTRIES if entry in tree])
    kind = random.random()
    if kind < 0.15:
        del tree[key]
        return f"without {key}"
    if kind < 0.3:
        tree[key] = odd_value(random)
        return f"{key} = {short(tree[key])}"
    holder = {key: lists_of(tree[key])}
    if key == "model":
        name = random.choice(sorted(holder[key]))
        holder[key][name], words = odd_tensor(random, holder[key][name])
        words = f"model/{name} {words}"
    elif not isinstance(holder[key], dict | list) or not holder[key]:
        holder[key] = random.choice((odd_value(random), -18, str(holder[key])))
        words = f"{key} = {short(holder[key])}"
    else:
        words = _damage_values(random, holder[key])
        words = f"{key}: {words}"
    tree[key] = holder[key]
    return words


def _damage_values(random, tree):
    """As `damage_tree`, with tensors damaged as tensors."""
    import torch
    from fuzzing import random_place

    node, key, path = random_place(random, tree)
    if isinstance(node[key], torch.Tensor) and random.random() < 0.7:
        node[key], words = odd_tensor(random, node[key])
        return f"{path} {words}"
    return damage_tree(random, tree)


def odd_tensor(random, tensor):
    """(a tensor that does not fit the place of another, what it is)."""
    import torch

    kind = random.randrange(7)
    if kind == 0:
        return tensor.reshape(-1)[: max(0, tensor.numel() - 1)].clone(), "shorter"
    if kind == 1:
        return torch.zeros(0), "empty"
    if kind == 2:
        return tensor.to(torch.complex64), "complex"
    if kind == 3:
        return tensor.to(torch.int8), "int8"
    if kind == 4:
        return torch.full(tensor.shape, float("nan")), "NaN"
    if kind == 5:
        return torch.zeros(1).expand(max(1, tensor.numel()) * 1000).clone(), "longer"
    return tensor.double().unsqueeze(0), "with a dimension more"


def lists_of(value):
    """A copy of nested values, with lists in the place of tuples."""
    if isinstance(value, dict):
        return {key: lists_of(each) for key, each in value.items()}
    return [lists_of(each) for each in value] if isinstance(value, list | tuple) else copy.copy(value)


def _damage_pointer(random, pointer):
    texts = {
        "empty": b"",
        "blank": b" \n\n",
        "not UTF-8": b"\xff\xfe\x00model",
        "naming nothing": b"model_0000099.pth",
        "naming a folder": b"/etc",
        "with a zero": b"model\0.pth",
        "very long": b"x" * 100_000,
        "naming another file": b"/etc/passwd",
    }
    name = random.choice(sorted(texts))
    pointer.write_bytes(texts[name])
    return f"last_checkpoint {name}"


def network(case):
    """A network that is damaged in its bytes or its tensors, used to predict."""
    import torch

    from maskrcnn_benchmark.predict.trained_network import load_network

    path = case.out / "model.pth"
    checks_numbers = False
    if case.random.random() < 0.5:
        data, what = damage_bytes(case.random, case.workplace.checkpoint.read_bytes())
        path.write_bytes(data)
    else:
        tree = torch.load(case.workplace.checkpoint, weights_only=True)
        if case.random.random() < 0.6:
            name = case.random.choice(sorted(name for name in tree["model"] if tree["model"][name].is_floating_point()))
            tree["model"][name], words = odd_tensor(case.random, tree["model"][name])
            what, checks_numbers = f"model/{name} {words}", words in ("NaN", "complex", "int8")
        else:
            what = damage_entry(case.random, tree)
        torch.save(tree, path)

    def door():
        load_network(path, device="cpu")
        return ["weights that are NaN, complex or of 8 bits are silently taken"] if checks_numbers else []

    return Attempt(what, door, (path.name,))


# What a stranger's config may say, of options whose values reach far
_FAR = {
    "DATALOADER.SIZE_DIVISIBILITY": (60000, 0, -32, 1),
    "INPUT.PIXEL_STD": ([0, 0, 0], [], [1, 2], [float("nan")] * 3, ["a", "b", "c"]),
    "INPUT.PIXEL_MEAN": ([], [1e308] * 3, [float("inf")] * 3),
    "INPUT.MIN_SIZE_TEST": (0, -1, 100_000, 2**40),
    "INPUT.MAX_SIZE_TEST": (0, -1, 100_000),
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": (100_000, -7),
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": (0, 100_000),
    "MODEL.ROI_HEADS.DETECTIONS_PER_IMG": (0, -1, 10**9),
    "MODEL.RPN.PRE_NMS_TOP_N_TEST": (0, -1, 10**9),
    "MODEL.RPN.ANCHOR_SIZES": ([], [0], [-1], [1e308]),
    "MODEL.RESNETS.STEM_OUT_CHANNELS": (0, -1, 10**7),
    "MODEL.ROI_MASK_HEAD.RESOLUTION": (0, 10**5),
    "TEST.BBOX_AUG.SCALES": ([10**6], [-1]),
    "TEST.DTYPE": ("float7", "float16"),
    "DATASETS.DATA_DIR": ("planted", "/proc/self", "\0"),
    "DATASETS.VOCABULARY": ("mini_detail_train", "nothing"),
    "PATHS_CATALOG": ("planted/catalog.py",),
    "OUTPUT_DIR": ("planted",),
}


def config(case):
    """A stranger's checkpoint whose config asks for a lot, shown an image."""
    import torch
    import yaml

    from maskrcnn_benchmark.predict.predictor import Predictor

    path = case.out / "model.pth"
    tree = torch.load(case.workplace.checkpoint, weights_only=True)
    options = yaml.safe_load(tree["config"])
    key = case.random.choice(sorted(_FAR))
    value = case.random.choice(_FAR[key])
    if isinstance(value, str) and value.startswith("planted"):
        value = str(case.folder / value)
    if case.random.random() < 0.35:
        what = damage_tree(case.random, options)
        key = None
    else:
        node = options
        *groups, name = key.split(".")
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = value
        what = f"{key} = {short(value)}"
    if case.random.random() < 0.3:
        del tree["vocabulary"]
        what += ", without vocabulary"
    tree["config"] = yaml.safe_dump(options)
    torch.save(tree, path)
    image = sorted((case.workplace.few / "mini_detail" / "images").iterdir())[0]

    def door():
        Predictor(path, device="cpu")(image)
        return ["drew into a folder that a stranger named"] if (case.folder / "planted").exists() else []

    # options of which the words of the damage speak
    options_named = [word for word in re.split(r"[/ ,]", what) if re.fullmatch(r"[A-Z][A-Z0-9_]+", word)]
    return Attempt(what, door, (path.name, *([key] if key else options_named)))


def hostile(case):
    """A file that would run a program if a pickle were believed."""
    from maskrcnn_benchmark.predict.trained_network import load_network
    from maskrcnn_benchmark.utils.weights.weight_file import read_checkpoint

    canary = case.out / "canary"
    payload = _payload(case.random, canary)
    kind = case.random.choice(("zip", "legacy", "pkl", "bare"))
    path = case.out / ("model.pkl" if kind == "pkl" else "model.pth")
    if kind == "zip":
        with zipfile.ZipFile(case.workplace.checkpoint) as source, zipfile.ZipFile(path, "w") as target:
            for entry in source.infolist():
                target.writestr(entry, payload if entry.filename.endswith("data.pkl") else source.read(entry))
    elif kind == "legacy":
        magic = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
        path.write_bytes(b"".join(magic) + payload)
    else:
        path.write_bytes(payload)
    door = case.random.choice(("read_checkpoint", "load_network"))

    def knock():
        try:
            read_checkpoint(path) if door == "read_checkpoint" else load_network(path, device="cpu")
            taken = ["a hostile pickle is taken"]
        finally:
            if canary.exists():
                print("Traceback (most recent call last)\nthe canary: a hostile file ran a program")
        return taken

    return Attempt(f"{kind} with a program, by {door}", knock, (path.name,))


def _payload(random, canary):
    """Bytes of a pickle that makes a file when it is believed."""
    command = f"touch {canary}"
    calls = {
        "system": (os.system, (command,)),
        "open": (open, (str(canary), "w")),
        "eval": (eval, (f"__import__('os').system({command!r})",)),
        "exec": (exec, (f"open({str(canary)!r}, 'w').close()",)),
        "popen": (__import__("subprocess").Popen, (["touch", str(canary)],)),
        "getattr": (getattr, (os, "system")),
        "io": (io.open, (str(canary), "w")),
    }
    function, arguments = calls[random.choice(sorted(calls))]
    if function is getattr:
        # torch's own loaders have allowed functions that import by name
        return b"ctorch.serialization\nload\n(S'" + str(canary).encode() + b"'\ntR."

    class Hostile:
        def __reduce__(self):
            return function, arguments

    place = random.randrange(3)
    value = (Hostile(), {"model": Hostile()}, {"model": {}, "optimizer": [Hostile()]})[place]
    return pickle.dumps(value, random.choice((0, 1, 2, 3, 4, 5)))


CLASSES = [
    mutation_class("resume", 150, resume, together=False),
    mutation_class("network", 300, network),
    mutation_class("config", 150, config, together=False),
    mutation_class("hostile", 100, hostile),
]
