"""Stage: Mask R-CNN R-50-FPN beside torchvision's, on the same images and objects, in turn and in one process."""

from types import SimpleNamespace

from benchmarks import detector
from benchmarks.timing import free_memory
from checks.eight_tasks import compare_times, look_into
from checks.networks import precision_options
from checks.stage import Findings, Setting
from maskrcnn_benchmark.structures.target_batch import TargetBatch

MOST_TIMES = {"train": 1.0, "infer": 1.0}  # not slower than torchvision
FULL = {"height": 800, "width": 1088, "batch": 2, "objects": 8}
SMALL = {"height": 64, "width": 96, "batch": 1, "objects": 2}
# (DTYPE, TF32, what the rows call it)
PRECISIONS = (("float32", True, "TF32"), ("bfloat16", True, "bfloat16"))
PRECISIONS_ON_CPU = (("float32", False, "float32"),)


def check(setting: Setting, findings: Findings) -> None:
    """Both networks in turn in each precision; then a training step of each alone, looked into."""
    precisions = PRECISIONS if setting.on_cuda else PRECISIONS_ON_CPU
    for dtype, rounded, name in precisions:
        with findings.attempt("runs", name):
            _time(setting, findings, _arguments(setting, dtype, rounded), name)
        free_memory()
    dtype, rounded, name = precisions[0]
    for key, step_of in STEPS.items():
        group = f"{key}, {name}"
        with findings.attempt("runs", group):
            args = _arguments(setting, dtype, rounded)
            network = detector.NETWORKS[key](args, detector.random_weights(args))
            look_into(setting, findings, step_of(network), _upright_and_wide(setting, args), group)
        network = None
        free_memory()


def _arguments(setting, dtype, rounded):
    """What `benchmarks.detector` takes from its command line."""
    size = SMALL if setting.small else FULL
    return SimpleNamespace(**size, device=setting.device, opts=list(precision_options(dtype, rounded)))


def _time(setting, findings, args, group):
    images, objects = detector.make_batch(args, args.batch)
    images, objects = images.to(args.device), detector.drawn(objects, args.width, args.height, args.device)
    actions = {}
    for key, network in detector.build_networks(args).items():
        targets = network.targets_of((images, objects))
        actions[f"{key}, train"] = lambda turn, run=network.train_step, targets=targets: run(images, targets)
        actions[f"{key}, infer"] = lambda turn, run=network.infer: run(images[:1])
    compare_times(setting, findings, actions, group, MOST_TIMES, "ours", "torchvision")


def _upright_and_wide(setting, args):
    """Two batches, (images, objects) of `benchmarks.detector` on the CPU, in pinned memory for a GPU."""
    batches = []
    for height, width in ((args.width, args.height), (args.height, args.width)):
        turned = SimpleNamespace(**{**vars(args), "height": height, "width": width})
        images, objects = detector.make_batch(turned, args.batch)
        objects = detector.drawn(objects, width, height, "cpu")
        if setting.on_cuda:
            images, objects = images.pin_memory(), [tuple(each.pin_memory() for each in of) for of in objects]
        batches.append((images, objects))
    return batches


def _step_of_ours(network):
    """A training step on a batch as a loader delivers it, copies included: the step itself moves it."""

    def step(batch):
        targets = TargetBatch.of(network.targets_of(batch))
        network.train_step(batch[0], targets.pin_memory() if network.device.type == "cuda" else targets)

    return step


def _step_of_torchvision(network):
    """A training step on a batch as a loader delivers it, copies included, tensor by tensor as its reference has it."""

    def step(batch):
        images = batch[0].to(network.device, non_blocking=True)
        objects = [tuple(each.to(network.device, non_blocking=True) for each in of) for of in batch[1]]
        network.train_step(images, network.targets_of((images, objects)))

    return step


STEPS = {"ours": _step_of_ours, "torchvision": _step_of_torchvision}
