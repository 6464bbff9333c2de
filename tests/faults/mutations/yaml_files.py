"""Odd yaml: bombs, depth, dates, numbers, tags; as a config, in a checkpoint, in a run's folder."""

from fuzzing import DEEP, damage_bytes

from faults.mutations.attempt import Attempt, mutation_class

_SCALARS = (
    *("2021-99-99", "2021-02-30", "0001-01-01T99:99:99Z", "9" * 5000, "-" + "9" * 5000, "0x" + "f" * 6000, "1e999999"),
    *("!!int abc", "!!float x", "!!timestamp x", "!!binary ä", "!!python/object/apply:os.system ['true']", "!!set {a}"),
    *("!!bool maybe", "1:99:99", "190:20:30", ".nan", "-.inf", "~", "<<", "=", "&a *a", "*nowhere", "0o9", "0b2", "_"),
    *("{[1]}", "[{]}", '"\\x00"', "? [1, 2]", "{[1]: 2}", "{{a: 1}: 2}", "!!omap [1]", "!!pairs [1]", "1__0", "1_"),
)
_KEYS = (
    *("MODEL.WEIGHT", "SOLVER.BASE_LR", "SOLVER.MAX_ITER", "DATASETS.TRAIN", "INPUT.MIN_SIZE_TRAIN", "MODEL", "SOLVER"),
    *("OUTPUT_DIR", "MODEL.DEVICE", "DTYPE", "TEST", "_BASE_", "VERSION"),
)


def yaml_file(case):
    """An odd text before one of the readers of yaml."""
    from maskrcnn_benchmark.config import cfg as default_cfg
    from maskrcnn_benchmark.experiments.run_folder import read_run
    from maskrcnn_benchmark.predict.trained_network import config_of

    random = case.random
    text, what = odd_yaml(random, case.workplace.config.read_bytes())
    which = random.choice(("file", "option", "checkpoint", "beside", "run"))
    names = {
        "file": ("config.yaml", "_BASE_"),
        "option": (),
        "checkpoint": ("model.pth",),
        "beside": ("config.yml",),
        "run": (),
    }[which]
    if what.startswith("_BASE_ "):
        names = (*names, what.removeprefix("_BASE_ "))
    path = case.out / ("config.yml" if which in ("beside", "run") else "config.yaml")
    path.write_bytes(text)
    value, key = random.choice(_SCALARS), random.choice(_KEYS[:7])

    def door():
        cfg = default_cfg.clone()
        if which == "file":
            cfg.merge_from_file(str(path))
        elif which == "option":
            cfg.merge_from_list([key, value])
        elif which == "checkpoint":
            config_of(case.out / "model.pth", {"config": text.decode(errors="replace")})
        elif which == "beside":
            config_of(case.out / "model.pth", {})
        else:
            read_run(case.out)
        cfg.dump()

    if which == "option":
        what, names = f"{key} {value[:40]}", (key, key.split(".")[0])
    return Attempt(f"{what}, as {which}", door, names)


def odd_yaml(random, sound):
    """(bytes of a yaml file, what is odd in words)."""
    kind = random.randrange(9)
    if kind == 0:
        lists = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9 if i else ['x'] * 9)}]" for i in range(12))
        return f"{lists}\nMODEL: {{WEIGHT: *a11}}\n".encode(), "aliases that expand"
    if kind == 1:
        maps = "\n".join(
            f"a{i}: &a{i} {{{', '.join(f'k{j}: *a{i - 1}' if i else f'k{j}: 1' for j in range(9))}}}" for i in range(12)
        )
        return f"{maps}\nMODEL: *a11\n".encode(), "groups that expand"
    if kind == 2:
        opening, closing = random.choice((("[", "]"), ("{a: ", "}")))
        depth = DEEP * random.choice((1, 25))
        return f"MODEL: {opening * depth}{closing * depth}\n".encode(), f"{depth} levels"
    if kind == 3:
        return b"MODEL:\n" + b"".join(b" " * i + b"a:\n" for i in range(1, 1500)), "1,500 levels of indentation"
    if kind == 4:
        text = "a: &a\n  b: *a\nMODEL: *a\n"
        return text.encode(), "a group that holds itself"
    if kind == 5:
        name = random.choice(
            ("x" * 100_000, "\\0", "/dev/zero", "/etc/passwd", ".", "../" * 2000, "config.yaml", "[a]")
        )
        return f'_BASE_: "{name}"\n'.encode(), f"_BASE_ {name[:30]}"
    if kind == 6:
        data, what = damage_bytes(random, sound)
        return data, what
    key, value = random.choice(_KEYS), random.choice(_SCALARS)
    lines, levels = [], key.split(".")
    for depth, level in enumerate(levels):
        lines.append("  " * depth + level + ":")
    return ("\n".join(lines) + f" {value}\n").encode(), f"{key}: {value[:40]}"


CLASSES = [mutation_class("yaml", 400, yaml_file)]
