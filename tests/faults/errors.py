"""Programming errors: a ZeroDivisionError or AttributeError in the package gives its trace, soon, and a code."""

from faults.case import FaultClass
from faults.child import WAIT
from faults.judge import check_end
from faults.tools import TOOLS

_READ = "maskrcnn_benchmark.data.detail.dataset:DetailDataset.__getitem__"
_STEP = "maskrcnn_benchmark.engine.step:TrainingStep.__call__"
_CHECK = "maskrcnn_benchmark.data.detail.checks:check_boundary"
_ANSWERS = "maskrcnn_benchmark.prediction_files.reader:PredictionReader.read"
_WORKERS = ("DATALOADER.NUM_WORKERS", 2)
# Where it happens -> (tool, its further words, function that raises, call from which it does)
PLACES = {
    "the training step": ("train", (), _STEP, 3),
    "the training step, with loader workers": ("train", _WORKERS, _STEP, 2),
    "a loader worker": ("train", _WORKERS, _READ, 2),
    "the loader without workers": ("train", (), _READ, 3),
    "a loader worker of a test": ("test", _WORKERS, _READ, 1),
    "the progress of training": ("train", (), "maskrcnn_benchmark.engine.progress:Progress.step", 2),
    "saving a checkpoint": ("train", _WORKERS, "maskrcnn_benchmark.utils.checkpoint:Checkpointer.save", 1),
    "scoring in workers": ("evaluate", ("--workers", 2), _ANSWERS, 1),
    "scoring in this process": ("evaluate", ("--workers", 0), _ANSWERS, 1),
    "counting in workers": ("explore", ("--workers", 2), _READ.replace("__getitem__", "get_annotations"), 1),
    "prepare in workers": ("prepare", ("--workers", 2), _CHECK, 2),
    "prepare in this process": ("prepare", ("--workers", 0), _CHECK, 2),
    "predicting": ("predict", (), "maskrcnn_benchmark.predict.predictor:Predictor._predict", 2),
}
ERRORS = ("ZeroDivisionError", "AttributeError")


def break_code(case):
    """Let a function of the package raise within a tool."""
    places = list(PLACES)
    place = places[case.number % len(places)]
    name, more, function, at = PLACES[place]
    error = ERRORS[(case.number // len(places)) % len(ERRORS)]
    tool = TOOLS[name]
    tool.prepare(case.workplace, case.out)
    settings = case.settings(broken=function, error=error, broken_at=at)
    started = case.start(tool.function(case.workplace, case.out, more), settings)
    # the tool may work for as long as it took undisturbed, and ends within the wait after that
    outcome = started.wait(case.workplace.references[name].seconds * 4 + WAIT)
    return f"{error} in {place}", check_end(outcome, codes=(1,), trace=error)


CLASSES = [FaultClass("errors", len(PLACES) * len(ERRORS), break_code, weight=6.0)]
