"""Stage: the full-size step of eight tasks beside Mask R-CNN's: time, memory, kernels, waits, busy share."""

from collections.abc import Callable, Sequence

from benchmarks.multitask import EIGHT_TASKS, MASK_RCNN, Network, with_tasks
from benchmarks.timing import free_memory, medians, take_turns
from checks.measuring import clock_of, median_ms, peak_mib, synchronisations, trace
from checks.networks import FULL, MINI, first_batches, loaded_batches, precision_options, read_config, tame
from checks.stage import Findings, Setting
from maskrcnn_benchmark.tasks.task import tasks_of_layout
from maskrcnn_benchmark.utils.precision import float32_precision as tf32

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

LEARNING_RATE = 1e-5  # small, so that random weights stay as they are while they are timed
COMPARED = {EIGHT_TASKS: tuple(TASKS), MASK_RCNN: ("detection", "instance")}
TIMES_MASK_RCNN = {"train": 1.5, "infer": 2.0}
MOST_WAITS = {EIGHT_TASKS: 60, MASK_RCNN: 40}
PLACES = 5
# (DTYPE, TF32, what the rows call it); the shipped configuration's comes first
PRECISIONS = (("bfloat16", True, "bfloat16"), ("float32", True, "TF32"))
PRECISIONS_ON_CPU = (("float32", False, "float32"),)


def full_size(setting: Setting, *options):
    """(config, `Vocabulary`) of the shipped configuration and 2 images of its size; small: of the mini one."""
    common = ("SOLVER.IMS_PER_BATCH", 2, "SOLVER.BASE_LR", LEARNING_RATE, *options)
    if setting.small:
        return read_config(setting, MINI, common)
    return read_config(setting, FULL, ("INPUT.MIN_SIZE_TRAIN", (800,), "INPUT.MAX_SIZE_TRAIN", 1333, *common))


def build_network(cfg, vocabulary) -> Network:
    """A `benchmarks.multitask.Network` whose activations stay in range."""
    network = Network(cfg, vocabulary)
    tame(network.model)
    return network


def check(setting: Setting, findings: Findings) -> None:
    """Both networks on the same images, in turn, in each precision; then a training step of each alone, looked into."""
    precisions = PRECISIONS if setting.on_cuda else PRECISIONS_ON_CPU
    for dtype, rounded, name in precisions:
        with findings.attempt("runs", name), tf32(rounded):
            _time(setting, findings, dtype, rounded, name)
        free_memory()
    dtype, rounded, name = precisions[0]
    for key in COMPARED:
        group = f"{key}, {name}"
        with findings.attempt("runs", group), tf32(rounded):
            cfg, vocabulary = full_size(setting, *precision_options(dtype, rounded))
            network = build_network(with_tasks(cfg, COMPARED[key]), vocabulary)
            look_into(setting, findings, network.train_step, loaded_batches(cfg), group)
        network = None
        free_memory()


def _network(setting, dtype, rounded, key):
    """One of `COMPARED` and a batch for it."""
    cfg, vocabulary = full_size(setting, *precision_options(dtype, rounded))
    (batch,) = first_batches(cfg, 1)
    return build_network(with_tasks(cfg, COMPARED[key]), vocabulary), batch


def _time(setting, findings, dtype, rounded, group):
    networks = {key: _network(setting, dtype, rounded, key) for key in COMPARED}  # the same images, from one seed
    actions = {}
    for key, (network, batch) in networks.items():
        findings.note(f"{key}, images", " x ".join(map(str, batch[0].tensors.shape)), group=group)
        actions[f"{key}, train"] = lambda turn, network=network, batch=batch: network.train_step(batch)
        actions[f"{key}, infer"] = lambda turn, network=network, batch=batch: network.infer(batch)
    compare_times(setting, findings, actions, group, TIMES_MASK_RCNN, EIGHT_TASKS, MASK_RCNN)


def compare_times(setting: Setting, findings: Findings, actions: dict, group: str, goals: dict, ours: str, peer: str):
    """Time actions in turn, as medians, and hold the ratios of the pairs against goals.

    Args:
        actions: {"OURS, KIND" and "PEER, KIND": function of the turn's number}.
        goals: {kind: largest ratio of ours over the peer's}.
    """
    rounds, warmup = (1, 1) if setting.small else (8, 3)
    seconds = medians(take_turns(actions, rounds, warmup, clock_of(setting.device)))
    for action, taken in seconds.items():
        findings.note(action, 1000 * taken, "ms", group)
    for kind, most in goals.items():
        ratio = seconds[f"{ours}, {kind}"] / seconds[f"{peer}, {kind}"]
        findings.goal(f"{ours} over {peer}, {kind}", ratio, most, "times", group)


def look_into(setting: Setting, findings: Findings, step: Callable, batches: Sequence, group: str) -> None:
    """What a training step does besides taking time, on a device that holds nothing else.

    Args:
        step: function of a batch, which waits for the device.
        batches: two of them, of images of different shapes and on the CPU, in pinned memory for a GPU, so that the
            copies count. After the first has been trained on, the waits are those of the first step on the second.
        group: of the rows.
    """
    first, second = batches
    step(first)
    if not setting.on_cuda:
        findings.note("operations", trace(lambda: step(second), setting.device).kernels, "", group)
        return
    with synchronisations() as places:
        step(second)
    waits, most = sum(places.values()), next((n for name, n in MOST_WAITS.items() if group.startswith(name)), None)
    if most is None:
        findings.note("waits for the device", waits, "", group)
    else:
        findings.goal("waits for the device", waits, most, "", group)
    for index, (place, count) in enumerate(places.most_common(PLACES)):
        findings.note(f"most waits, {index + 1}", f"{count} at {place}", group=group)
    findings.note("peak memory", peak_mib(lambda: step(second), setting.device), "MiB", group)
    milliseconds = median_ms(lambda: step(second), setting.device, rounds=3, warmup=0)
    seen = trace(lambda: step(second), setting.device)
    findings.note("kernels", seen.kernels, "", group)
    findings.note("copies and fills", seen.copies, "", group)
    findings.note("busy share of the device", seen.busy_ms / milliseconds, "", group)
    for index, (kernel, total, count) in enumerate(seen.slowest):
        findings.note(f"most time, {index + 1}", f"{total:.2f} ms, {count} of {kernel[:40]}", group=group)
