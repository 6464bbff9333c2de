"""The check of a machine: what becomes of stages that fail, hang and die, and what it says; then real stages."""

import json
import os
import pkgutil
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from maskrcnn_benchmark.layers import nms
from maskrcnn_benchmark.structures.target_batch import TargetBatch
from maskrcnn_benchmark.utils.devices import resolve_device
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.imports import import_file
from maskrcnn_benchmark.utils.text import counted
from maskrcnn_benchmark.utils.threads import allowed_cores

TOOL = Path(__file__).parents[2] / "tools" / "check_device.py"


@pytest.fixture(scope="module")
def tool():
    """The tool as a module; what it runs are modules beside it, also in the processes that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in (Path(__file__).parent, TOOL.parent):
            patch.syspath_prepend(str(folder))
        yield import_file("check_device_tool", TOOL)


@pytest.fixture(scope="module")
def stage(tool):
    """Makes a stage of a function of `fake_stages`."""

    from checks.stage import Stage

    def make(name, function, **options):
        return Stage(name, f"to {name}", f"fake_stages:{function}", weight=1, **options)

    return make


@pytest.fixture
def check(tool, tmp_path, capsys):
    """Runs the tool on stages; returns its status, its output and what its file holds, {stage: result}."""

    def run(*stages, minutes=2):
        file = tmp_path / "check.json"
        status = tool.main(["--device", "cpu", "--minutes", str(minutes), "--json", str(file)], stages)
        written = json.loads(file.read_text())
        assert written["verdict"] == ("FAIL" if status else "PASS") and written["device"] == "cpu"
        return status, capsys.readouterr().out, {each["stage"]: each for each in written["stages"]}

    return run


def values(result):
    return {row["name"]: row["value"] for row in result["rows"]}


def test_a_stage_that_fails_hangs_or_dies_takes_no_other_along(check, stage, monkeypatch):
    from checks import runner

    monkeypatch.setattr(runner, "SHORTEST_SECONDS", 3.0)
    monkeypatch.setattr(runner, "GENEROSITY", 0.0)
    status, output, found = check(
        stage("one", "tell_process"),
        stage("two", "tell_process"),
        stage("broken", "break_down"),
        stage("three", "tell_process"),
        stage("hanging", "hang"),
        stage("dead", "die"),
        stage("last", "tell_process"),
    )
    assert status == 1 and list(found) == ["one", "two", "broken", "three", "hanging", "dead", "last"]
    verdicts = [each["verdict"] for each in found.values()]
    assert verdicts == ["PASS", "PASS", "FAIL", "PASS", "FAIL", "FAIL", "PASS"]
    processes = [values(found[name])["process"] for name in ("one", "two", "three", "last")]
    assert processes[0] == processes[1] and len(set(processes)) == 3  # kept while all is well, else made anew
    broken = found["broken"]
    assert broken["reason"].startswith("RuntimeError: CUDA error: device-side assert triggered (fake_stages.py:")
    assert "in break_down" in broken["traceback"] and "what a library wrote" in broken["output"]
    assert values(broken) == {"before": 1.5}
    hanging = found["hanging"]
    assert hanging["reason"].startswith("out of time, ended after the 3 s that it was given; ")
    assert "more --minutes" in hanging["reason"] and "in hang" in hanging["output"]
    with pytest.raises(ProcessLookupError):
        os.kill(values(hanging)["child"], 0)
    assert found["dead"]["reason"] == "its process ended with code 7"
    table = output[output.rindex("PASS  one") :].splitlines()
    assert [line.split()[:2] for line in table if line[:4] in ("PASS", "FAIL")] == [
        [verdict, name] for verdict, name in zip(verdicts, found)
    ]
    assert table[-2].startswith("4 PASS, 3 FAIL in ") and table[-1].startswith("wrote ")


def test_a_limit_fails_and_a_missed_goal_does_not(check, stage):
    status, output, found = check(
        stage("wrong", "be_wrong"), stage("slow", "be_slow"), stage("out", "leave_out"), stage("on", "go_on")
    )
    assert status == 1
    assert values(found["on"])["float16"].startswith("ValueError: a loss is nan (fake_stages.py:")
    assert values(found["on"])["bfloat16"] == 0.5
    assert found["on"]["verdict"] == "FAIL" and "Traceback" in found["on"]["output"]
    assert found["wrong"]["reason"] == "not as it should be: loss_mask, loss_part"
    assert [row["verdict"] for row in found["wrong"]["rows"]] == ["FAIL", "PASS", "FAIL", "PASS"]
    assert found["wrong"]["rows"][2]["value"] == "nan"
    assert found["slow"]["verdict"] == "PASS" and found["slow"]["rows"][0]["verdict"] == "MISS"
    assert (found["out"]["verdict"], found["out"]["reason"]) == ("SKIP", "built without NCCL")
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert "in place yes" in lines
    assert "loss_mask 0.002 of 0.001 FAIL 0.002 of 0.01" in lines and "loss_part nan of 0.001 FAIL" in lines
    assert lines.count("ours over torchvision: 1.25 of 1 times MISS") == 1  # in the table at the end


def test_a_missing_extra_is_skipped_with_the_line_that_installs_it(check, stage):
    status, output, found = check(stage("extra", "tell_process", module="no_such_module", extra="balancing"))
    assert status == 0 and found["extra"]["verdict"] == "SKIP"
    assert 'needs no_such_module: pip install "maskrcnn-benchmark[balancing]"' in output


def test_on_a_cuda_machine_a_device_stage_that_is_left_out_fails(tool, stage, tmp_path):
    from checks.runner import Runner
    from checks.stage import Setting

    stages = [
        stage("device", "tell_process"),
        stage("host", "tell_process", on_device=False),
        stage("extra", "tell_process", module="no_such_module", extra="balancing"),
    ]
    verdicts = {}
    for device in ("cuda:0", "cpu"):
        with Runner(Setting(device, True, str(tmp_path)), seconds=0) as runner:
            verdicts[device] = [result.verdict for result in runner.run(stages, lambda stage, row: None)]
    assert verdicts == {"cuda:0": ["FAIL", "SKIP", "SKIP"], "cpu": ["SKIP", "SKIP", "SKIP"]}


def test_a_stage_may_take_twice_its_share_of_what_is_left(tool, stage):
    from checks.runner import SHORTEST_SECONDS, limit_of

    first, *later = [replace(stage(name, "tell_process"), weight=weight) for name, weight in (("a", 10), ("b", 30))]
    assert limit_of(first, later, 400.0) == 200.0
    assert limit_of(first, later, 8.0) == SHORTEST_SECONDS
    assert limit_of(first, [], 400.0) == 400.0  # the last has all that is left


def test_an_interruption_keeps_what_was_found(tmp_path):
    file = tmp_path / "check.json"
    command = [sys.executable, str(TOOL), "--device", "cpu", "--only", "versions,training", "--json", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(TOOL.parents[1])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    lines = iter(process.stdout.readline, "")
    assert any(line.startswith("PASS  versions") for line in lines)
    process.send_signal(signal.SIGTERM)
    rest = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 130
    assert any(line.startswith("1 PASS in ") for line in rest) and "interrupted" in rest
    written = json.loads(file.read_text())
    assert written["verdict"] == "INTERRUPTED" and written["stages"][0]["verdict"] == "PASS"


@pytest.mark.parametrize(
    "words, message",
    [
        (["--device", "gpu"], "--device is 'gpu', but must be auto, cpu, cuda or cuda:NUMBER"),
        (["--device", "cuda:99"], "cuda:99.*, but"),
        (["--only", "speed"], "--only speed: there are the stages versions, operations, training"),
        (["--minutes", "0"], "argument --minutes: '0' is not a number above 0"),
        (["--json", "no/such/folder/a.json"], "there is no folder"),
    ],
)
def test_mistakes_are_refused_before_anything_is_run(tool, words, message):
    with pytest.raises(UserError, match=message):
        tool.main(["--device", "cpu", *words])


def test_the_device_is_chosen_as_every_tool_does(tool, stage, tmp_path):
    file = tmp_path / "check.json"
    assert tool.main(["--device", "auto", "--json", str(file)], [stage("one", "tell_process")]) == 0
    assert json.loads(file.read_text())["device"] == str(resolve_device("auto"))


def test_each_stage_has_a_function_and_a_name_of_its_own(tool):
    assert all(callable(pkgutil.resolve_name(each.check)) for each in tool.STAGES)
    assert len({each.name for each in tool.STAGES}) == len(tool.STAGES)


def test_the_stages_are_listed(tool, capsys):
    assert tool.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [stage.name for stage in tool.STAGES]


def test_a_trace_counts_kernels_and_the_time_that_any_of_them_runs(tool):
    from checks.measuring import summarise

    spans = [
        ("gemm", 3000.0, 5000.0),
        ("Memcpy HtoD (Pageable -> Device)", 0.0, 1000.0),
        ("gemm", 4000.0, 6000.0),  # beside the first, in another stream
        ("add", 4200.0, 4300.0),
        ("Memset (Device)", 8000.0, 8500.0),
    ]
    found = summarise(spans, 2)
    assert (found.kernels, found.copies, found.busy_ms) == (3, 2, 4.5)
    assert found.slowest == [("gemm", 4.0, 2), ("Memcpy HtoD (Pageable -> Device)", 1.0, 1)]


def test_waits_are_counted_by_the_line_of_this_package(tool, monkeypatch):
    from checks.measuring import synchronisations

    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    monkeypatch.setattr(
        sys.modules["maskrcnn_benchmark.layers.nms"],
        "exclusive_nms",
        lambda boxes, scores, threshold: warnings.warn("called a synchronizing CUDA operation", stacklevel=1),
    )
    with synchronisations() as places:
        for _ in range(2):
            nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
        warnings.warn("something else", stacklevel=1)
    assert modes == ["warn", "default"]
    ((place, count),) = places.items()
    assert place.startswith("layers/nms.py:") and count == 2


def test_a_device_is_timed_by_its_own_events(tool, monkeypatch):
    from checks.measuring import clock_of

    class Event:
        now = 0.0

        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            Event.now += 250.0
            self.time = Event.now

        def synchronize(self):
            pass

        def elapsed_time(self, end):
            return end.time - self.time

    monkeypatch.setattr(torch.cuda, "Event", Event)
    clock = clock_of("cuda:0")
    start = clock()
    assert clock() - start == 0.25
    assert clock_of("cpu") is time.perf_counter


def test_a_step_is_looked_into_with_a_batch_of_another_shape_than_the_first(tool, tmp_path):
    from checks.networks import MINI, TINY, loaded_batches, read_config
    from checks.stage import Setting

    cfg, _ = read_config(Setting("cpu", True, str(tmp_path)), MINI, TINY)
    (images, targets), (others, _) = loaded_batches(cfg)
    assert images.tensors.dtype == torch.uint8 and images.tensors.shape != others.tensors.shape
    assert isinstance(targets, TargetBatch) and len(targets) == len(images) == 2


def test_waits_are_those_of_the_first_step_on_the_second_batch(tool, monkeypatch):
    from checks import eight_tasks
    from checks.stage import Findings, Setting

    steps, rows, places = [], [], Counter()

    @contextmanager
    def counting():
        before = len(steps)
        yield places
        places.update(steps[before:])

    monkeypatch.setattr(eight_tasks, "synchronisations", counting)
    monkeypatch.setattr(eight_tasks, "peak_mib", lambda action, device: 1.0)
    monkeypatch.setattr(eight_tasks, "median_ms", lambda action, device, rounds, warmup: 2.0)
    monkeypatch.setattr(eight_tasks, "trace", lambda action, device: Trace(5, 3, 1.0))
    Trace = sys.modules["checks.measuring"].Trace
    findings = Findings(rows.append)
    eight_tasks.look_into(
        Setting("cuda:0", False, ""), findings, steps.append, ("wide", "upright"), "eight tasks, TF32"
    )
    found = {row.name: row.value for row in rows}
    assert steps[:2] == ["wide", "upright"] and places == {"upright": 1}
    assert found["waits for the device"] == 1 and found["most waits, 1"] == "1 at upright"
    assert (found["kernels"], found["copies and fills"], found["busy share of the device"]) == (5, 3, 0.5)


@pytest.fixture(scope="module")
def tiny(tool, tmp_path_factory):
    """(config, vocabulary, two batches) of the network that methods are tried on."""
    from checks.networks import MINI, TINY, first_batches, read_config
    from checks.stage import Setting

    cfg, vocabulary = read_config(Setting("cpu", True, str(tmp_path_factory.mktemp("check"))), MINI, TINY)
    return cfg, vocabulary, first_batches(cfg, 2)


def test_a_method_that_moves_nothing_is_found(tiny):
    from checks.balancing import try_method

    cfg, vocabulary, batches = tiny
    assert try_method(cfg, vocabulary, batches) == ""
    still = cfg.clone()
    still.SOLVER.BASE_LR = 0.0
    assert "weights have not moved" in try_method(still, vocabulary, batches)


def test_state_on_another_device_is_found(tiny):
    from benchmarks.multitask import Network
    from checks.balancing import misplaced

    cfg, vocabulary, batches = tiny
    network = Network(cfg, vocabulary)
    network.train_step(batches[0])
    assert misplaced(network) == []
    network.device = torch.device("cuda")
    found = misplaced(network)
    assert "optimizer 0, exp_avg" in found and "optimizer 0, step" not in found


def test_a_difference_is_counted_where_it_arises(tiny):
    from checks.networks import NOTHING_DRAWN, build_model
    from checks.parity import SINGLE, compare, outcome_of

    cfg, vocabulary, (batch, _) = tiny
    cfg = cfg.clone()
    cfg.merge_from_list([*NOTHING_DRAWN])
    model = build_model(cfg, vocabulary, batch)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    expected = outcome_of(model, batch, "cpu", "float32")
    model.load_state_dict(state)
    again = list(compare(expected, outcome_of(model, batch, "cpu", "float32", expected), SINGLE))
    assert [name for name, value, limit in again if not value <= limit] == []
    assert len(expected.proposals[0]) > 50 and len(expected.predictions[0].instances) > 3
    model.load_state_dict(state)
    with torch.no_grad():
        model.roi_heads.mask.predictor.mask_fcn_logits.weight.mul_(1.05)
        model.rpn.head.bbox_pred.bias.add_(0.1)
    changed = compare(expected, outcome_of(model, batch, "cpu", "float32", expected), SINGLE)
    beyond = {name for name, value, limit in changed if not value <= limit}
    assert {"proposals, share of others", "loss_rpn_box_reg", "loss_mask"} <= beyond
    assert not {"features", "detections, share of others", "loss_classifier", "loss_part", "semantic"} & beyond


def test_real_stages_pass_on_a_cpu(tool, tmp_path, capsys):
    file = tmp_path / "check.json"
    assert tool.main(["--device", "cpu", "--only", "versions,operations", "--json", str(file)]) == 0
    written = json.loads(file.read_text())
    versions, operations = written["stages"]
    assert values(versions)["torch"].startswith(torch.__version__) and values(versions)["GPU"]
    assert f"on {counted(allowed_cores(), 'core')} that this process may use" in values(versions)["threads"]
    assert values(operations)["ROIAlign, largest difference"] < 1e-4
    assert values(operations)["NMS of a batch's levels, share of other boxes"] == 0
    output = capsys.readouterr().out
    assert output.startswith("checking cpu, small sizes, 2 stages") and "2 PASS in " in output


@pytest.mark.slow  # minutes: every stage
def test_all_of_it_passes_on_a_cpu(tool, tmp_path):
    file = tmp_path / "check.json"
    assert tool.main(["--device", "cpu", "--minutes", "20", "--json", str(file)]) == 0
    verdicts = {each["stage"]: each["verdict"] for each in json.loads(file.read_text())["stages"]}
    assert list(verdicts) == [stage.name for stage in tool.STAGES] and set(verdicts.values()) <= {"PASS", "SKIP"}


@pytest.mark.cuda
def test_quick_stages_pass_on_a_gpu(tool, tmp_path):
    file = tmp_path / "check.json"
    only = "versions,operations,parity,weightings"
    assert tool.main(["--device", "cuda", "--size", "small", "--only", only, "--json", str(file)]) == 0
    assert json.loads(file.read_text())["device"] == "cuda:0"
