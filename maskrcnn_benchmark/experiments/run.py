"""A whole run from a config: train, evaluate, draw. This is what the command-line tools call."""

import contextlib
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.data.batches import ending_workers
from maskrcnn_benchmark.data.build import bind_vocabulary, build_datasets, load_vocabulary, make_data_loader
from maskrcnn_benchmark.data.class_weights import bind_class_weights
from maskrcnn_benchmark.data.datasets import COCODataset
from maskrcnn_benchmark.data.draws import expected_draws
from maskrcnn_benchmark.data.known_names import known_vocabulary
from maskrcnn_benchmark.data.mixing import check_test_vocabularies
from maskrcnn_benchmark.engine.best_result import BEST, check_metric, describe
from maskrcnn_benchmark.engine.data_parallel import average_batch_norm_statistics, synchronize_batch_norm
from maskrcnn_benchmark.engine.evaluation_report import REPORT, RESULTS
from maskrcnn_benchmark.engine.image_subset import read_image_subset
from maskrcnn_benchmark.engine.inference import Evaluation, InferenceNetwork
from maskrcnn_benchmark.engine.random_state import seed_everything
from maskrcnn_benchmark.engine.rank_agreement import check_same, digest
from maskrcnn_benchmark.engine.results import format_table, read_results, write_results
from maskrcnn_benchmark.engine.trainer import BEST_EVALUATION, Training, is_finished, restore_loss_combiner
from maskrcnn_benchmark.engine.trivial_baseline import TRIVIAL, trivial_metrics
from maskrcnn_benchmark.evaluation.protocols import build_protocols
from maskrcnn_benchmark.experiments.pictures import PAGE, draw_pictures
from maskrcnn_benchmark.experiments.resuming import changed_options, find_begun
from maskrcnn_benchmark.experiments.run_record import record_run
from maskrcnn_benchmark.experiments.setup import (
    check_inputs,
    check_training_inputs,
    drawn_seed,
    make_missing_mini_detail,
    start_run,
)
from maskrcnn_benchmark.modeling.backbone import bind_backbone
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.multitask.interactions import Interactions
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.multitask.task_gradients import own_parameters
from maskrcnn_benchmark.solver import fill_in_iterations, make_lr_scheduler, make_optimizer
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS, check_tasks, enabled_tasks, evaluated_tasks
from maskrcnn_benchmark.utils.checkpoint import POINTER, DetectronCheckpointer
from maskrcnn_benchmark.utils.comm import all_gather, get_world_size, is_main_process, run_once
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import atomic_write, mkdir
from maskrcnn_benchmark.utils.miscellaneous import save_config
from maskrcnn_benchmark.utils.model_zoo import local_file
from maskrcnn_benchmark.utils.resume_state import damaged_entry
from maskrcnn_benchmark.utils.schema import Unfit
from maskrcnn_benchmark.utils.text import counted
from maskrcnn_benchmark.utils.weights.weight_file import read_checkpoint
from maskrcnn_benchmark.visualization.interactions import draw_interactions

CONFLICTS = "interactions.png"  # within OUTPUT_DIR

logger = logging.getLogger(__name__)


def train(cfg: CfgNode, skip_test: bool = False) -> nn.Module:
    """Train the network of a config, evaluate it and draw its predictions.

    A run goes on from OUTPUT_DIR's last checkpoint if there is one. A run that has reached
    SOLVER.MAX_ITER, or that SOLVER.BEST.PATIENCE has ended, is not trained again, and only what is missing of its
    results is made.

    Args:
        cfg: the config; seed and class counts are filled in.
        skip_test: leave evaluation and pictures out.

    Returns:
        the trained model, with the weights of its last step.
    """
    is_begun = _has_pointer(cfg)
    check_training_inputs(cfg, is_begun, skip_test)
    with start_run(cfg) as device:
        if not is_begun:
            local_file(cfg.MODEL.WEIGHT, cfg.PATHS_CATALOG)  # is fetched before anything is drawn
        return _train(cfg, skip_test, device)


def _train(cfg, skip_test, device):
    if cfg.SOLVER.MAX_EPOCHS:
        make_missing_mini_detail(cfg)
        draws = expected_draws(cfg, build_datasets(cfg, is_train=True)[0], enabled_tasks(cfg))
        fill_in_iterations(cfg, round(draws.sum()))
    begun = find_begun(cfg)
    is_done = begun is not None and begun.is_finished
    config, is_tested = Path(cfg.OUTPUT_DIR) / "config.yml", (Path(cfg.OUTPUT_DIR) / RESULTS).is_file()
    if begun is not None and is_done:
        begun.settle(cfg, is_tested)
    elif begun is not None:
        begun.refuse(cfg)
    make_missing_mini_detail(cfg)
    vocabulary = load_vocabulary(cfg)
    bind_vocabulary(cfg, vocabulary)
    bind_class_weights(cfg, vocabulary, enabled_tasks(cfg), lambda: build_datasets(cfg, is_train=True)[0])
    bind_backbone(cfg)
    with begun.named() if begun is not None else contextlib.nullcontext():
        training = _build_training(cfg, vocabulary, device)
    arguments = training.arguments
    if begun is not None and not is_done:
        begun.tell()
    if not (is_done and is_tested and config.is_file()):
        save_config(cfg, config)
    test_loaders = []
    if cfg.DATASETS.TEST and not skip_test:
        test_loaders = make_data_loader(cfg, is_train=False, is_distributed=get_world_size() > 1)
        check_test_vocabularies(cfg, vocabulary, [each.dataset for each in test_loaders], evaluated_tasks(cfg))
        check_tasks([task for task in evaluated_tasks(cfg) if task.is_added], vocabulary)
        for loader in test_loaders if cfg.TEST.IMAGE_LIST else ():
            read_image_subset(cfg.TEST.IMAGE_LIST, loader.dataset)  # fails before hours are spent
    if cfg.SOLVER.BEST.METRIC:
        check_metric(cfg.SOLVER.BEST.METRIC, evaluated_tasks(cfg), vocabulary, build_protocols(cfg))
        if not test_loaders:
            logger.warning("nothing is evaluated, so that SOLVER.BEST.METRIC finds no best network and PATIENCE no end")
    changed = changed_options(None if is_done else begun)
    with record_run(cfg, arguments, device, changed) as record, ending_workers(*test_loaders):
        if training.is_finished:
            is_early = arguments["iteration"] < cfg.SOLVER.MAX_ITER
            logger.info(
                "this training is finished (%s): to go on, raise %s; to start over, choose another OUTPUT_DIR or "
                "remove %s",
                counted(arguments["iteration"], "iteration"),
                "SOLVER.BEST.PATIENCE, for it has ended early" if is_early else "SOLVER.MAX_ITER",
                cfg.OUTPUT_DIR,
            )
            interactions = _interactions(arguments)
        else:
            _run_training(training, test_loaders)
            record.trained()
            interactions = training.loss_combiner.interactions.summary()
        average_batch_norm_statistics(training.model)
        if test_loaders:
            _finish(training, test_loaders, interactions)
        if interactions is not None and is_main_process():
            _show_interactions(interactions, Path(cfg.OUTPUT_DIR) / CONFLICTS)
    return training.model


def _build_training(cfg, vocabulary, device):
    """The `Training` of a config, where OUTPUT_DIR's last checkpoint left it; the config's seed is filled in."""
    seed_is_given = cfg.SOLVER.SEED >= 0
    cfg.SOLVER.SEED = drawn_seed(cfg)
    model = _build_model(cfg, vocabulary, device)
    loss_combiner = build_loss_combiner(cfg, enabled_tasks(cfg)).to(device)
    optimizer = make_optimizer(cfg, model, loss_combiner)
    scheduler = make_lr_scheduler(cfg, optimizer)
    checkpointer = DetectronCheckpointer(cfg, model, optimizer, scheduler, cfg.OUTPUT_DIR)
    arguments = {"iteration": 0, **checkpointer.load(cfg.MODEL.WEIGHT, only_weights=True)}
    if "loss_combiner" in arguments and not is_finished(cfg, arguments):
        loss_combiner.attach(model)
        restore_loss_combiner(arguments["loss_combiner"], loss_combiner, checkpointer)  # before anything is written
    frozen = cfg.MODEL.BACKBONE.FREEZE_CONV_BODY_AT
    is_frozen = frozen and not all(parameter.requires_grad for parameter in model.backbone.parameters())
    if is_frozen and not cfg.MODEL.WEIGHT and not checkpointer.has_checkpoint():
        logger.warning(
            "MODEL.WEIGHT is empty: the backbone starts from random weights, and MODEL.BACKBONE.FREEZE_CONV_BODY_AT %d "
            "keeps its first stages random",
            frozen,
        )
    try:
        learned_vocabulary = Vocabulary.from_dict(arguments.setdefault("vocabulary", vocabulary.to_dict()))
    except Unfit as fault:
        raise checkpointer.damaged("vocabulary", fault) from None
    if learned_vocabulary != vocabulary:
        learned = cfg.DATASETS.VOCABULARY or cfg.DATASETS.TRAIN
        raise UserError(
            f"{checkpointer.get_checkpoint_file()} was trained on other classes than those of {learned}; "
            "choose another OUTPUT_DIR"
        )
    check_same(
        {
            "the iteration to go on from,": arguments["iteration"],
            "classes with the digest": digest(vocabulary.to_dict()),
        },
        "OUTPUT_DIR must be a folder that all processes see, and all must have the same data",
    )
    if not seed_is_given:
        cfg.SOLVER.SEED = arguments.get("seed", cfg.SOLVER.SEED)
    arguments.update(seed=cfg.SOLVER.SEED, config=cfg.dump())
    return Training(cfg, model, optimizer, scheduler, checkpointer, device, arguments, loss_combiner)


def _run_training(training, test_loaders):
    """Train to the end, with evaluations on the way where there is a data set to test on."""
    cfg, device = training.cfg, training.device
    # results of an earlier, shorter training must not outlive it
    old = [Path(cfg.OUTPUT_DIR) / name for name in (RESULTS, PAGE, CONFLICTS)]
    run_once(lambda: [path.unlink(missing_ok=True) for path in old])
    loader = make_data_loader(cfg, True, get_world_size() > 1, start_iter=training.arguments["iteration"])
    check_same({"images to train on:": len(loader.dataset)}, "all processes must have the same data")
    with ending_workers(loader):
        replace(training, model=synchronize_batch_norm(training.model, device)).run(
            loader,
            cfg.SOLVER.CHECKPOINT_PERIOD,
            cfg.SOLVER.TEST_PERIOD if test_loaders else 0,
            lambda: _validate(cfg, training.model, test_loaders, device),
        )


def test(
    cfg: CfgNode, checkpoint: str | None = None, vocabulary: Vocabulary | None = None
) -> dict[str, dict[str, dict[str, Any]]] | None:
    """Evaluate the network of a config and show the table.

    Args:
        cfg: the config; class counts are filled in.
        checkpoint: the weights; None or "": OUTPUT_DIR's last checkpoint, else MODEL.WEIGHT.
        vocabulary: the `Vocabulary` that the network learned; by default that of the config's training data.

    Returns:
        what `evaluate` returns.
    """
    if not (checkpoint or _has_pointer(cfg) or cfg.MODEL.WEIGHT):
        raise UserError(f"no weights to test: {Path(cfg.OUTPUT_DIR) / POINTER} does not exist; give --ckpt FILE")
    check_inputs(cfg, checkpoint or ("" if _has_pointer(cfg) else cfg.MODEL.WEIGHT), cfg.DATASETS.TEST)
    with start_run(cfg) as device:
        return _test(cfg, checkpoint, vocabulary, device)


def _test(cfg, checkpoint, vocabulary, device):
    last = DetectronCheckpointer(cfg, nn.Identity(), save_dir=cfg.OUTPUT_DIR).get_checkpoint_file()
    file = local_file(checkpoint or last or cfg.MODEL.WEIGHT, cfg.PATHS_CATALOG)
    make_missing_mini_detail(cfg)
    vocabulary = vocabulary or _vocabulary_of(file, cfg)
    bind_vocabulary(cfg, vocabulary)
    bind_backbone(cfg)
    model = _build_model(cfg, vocabulary, device)
    checkpointer = DetectronCheckpointer(cfg, model, save_dir=cfg.OUTPUT_DIR)
    arguments = checkpointer.load(checkpoint or cfg.MODEL.WEIGHT, use_latest=not checkpoint)
    _warn_of_lacking(cfg, model, checkpointer.report)
    loaders = make_data_loader(cfg, is_train=False, is_distributed=get_world_size() > 1)
    check_test_vocabularies(cfg, vocabulary, [each.dataset for each in loaders], evaluated_tasks(cfg))
    with ending_workers(*loaders):
        results = evaluate(cfg, model, loaders, device, cfg.TEST.NUM_EXAMPLES, _interactions(arguments))
    for name, result in (results or {}).items():
        logger.info("Results on %s:\n%s", name, format_table(result))
        logger.info("Predictions, curves and report: %s", _result_folder(cfg, name))
    return results


def _has_pointer(cfg):
    return os.path.lexists(Path(cfg.OUTPUT_DIR) / POINTER)


def _vocabulary_of(file, cfg):
    """The names that weights were trained with: their own, else those of the training data, be they here or known.

    Where they are neither, those of the test data, which the original library takes always.
    """
    named = read_checkpoint(file, mapped=True).get("vocabulary")
    if named is not None:
        try:
            return Vocabulary.from_dict(named)
        except Unfit as fault:
            raise damaged_entry(file, "vocabulary", fault) from None
    try:
        return load_vocabulary(cfg)
    except UserError as error:
        logger.warning("%s does not name its classes, and what it was trained on is not here: %s", file, error)
    for known in map(known_vocabulary, (cfg.DATASETS.VOCABULARY, *cfg.DATASETS.TRAIN)):
        if known is not None:
            with contextlib.suppress(UserError):  # of a data set of one's own under a known name
                bind_vocabulary(cfg.clone(), known)
                return known
    logger.warning("its classes are taken to be those of %s", cfg.DATASETS.TEST[0])
    of_test = cfg.clone()
    of_test.DATASETS.TRAIN, of_test.DATASETS.VOCABULARY = (), ""
    return load_vocabulary(of_test)


def _warn_of_lacking(cfg, model, report):
    """Warn of what is tested although the weights lack it: a head, or layers that all share, with random numbers."""
    lacking = {*report.missing, *(name for name, *_ in report.mismatched)} if report is not None else set()
    lacking = {name for name, _ in model.named_parameters() if name in lacking}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    owned = own_parameters(model, TASKS.values())
    for task in enabled_tasks(cfg):
        own = {names[id(parameter)] for parameter in owned.get(task.key, ())} & lacking
        lacking -= own
        if own:
            logger.warning(
                "the weights lack %s of the head for %s, such as %s: it predicts from random numbers, and its "
                "scores mean nothing; turn it off with MODEL.%s False, or test weights that have it",
                *(counted(len(own), "tensor"), task.title, min(own), task.switch),
            )
    if lacking:
        logger.warning(
            "the weights lack %s of no single head, such as %s: whatever is predicted through them comes from "
            "random numbers; turn these tasks off, or give the config of the weights' own network",
            *(counted(len(lacking), "tensor"), min(lacking)),
        )


def evaluate(
    cfg: CfgNode,
    model: nn.Module,
    loaders: Sequence[Any],
    device: torch.device,
    num_examples: int = 0,
    interactions: dict[str, Any] | None = None,
) -> dict[str, dict[str, dict[str, Any]]] | None:
    """Evaluate on data sets, beside the trivial predictor.

    Args:
        loaders: loaders of DATASETS.TEST, in its order.
        num_examples, interactions: as `Evaluation` takes them.

    Returns:
        {data set name: results as `Evaluation.run` returns them} in the main process, None in the others; they and the
        predictions are also written to OUTPUT_DIR/inference/NAME.
    """
    evaluation = Evaluation.of_config(cfg, num_examples, interactions)
    network = InferenceNetwork.of_config(cfg, model, device, loaders[0].dataset.vocabulary)
    results: dict[str, Any] = {}
    for name, loader in zip(cfg.DATASETS.TEST, loaders):
        folder = _result_folder(cfg, name)
        run_once(partial(mkdir, folder))
        trivial = _trivial(cfg, evaluation, loader.dataset, name)
        results[name] = evaluation.run(network, loader, name, folder, trivial)
    return results if is_main_process() else None


def _result_folder(cfg, name):
    return Path(cfg.OUTPUT_DIR) / "inference" / name


def _validate(cfg, model, loaders, device):
    """Evaluate on the first data set, on the way; returns {task key: ...} in the main process."""
    results = evaluate(cfg, model, loaders[:1], device)
    if results is None:
        return None
    (result,) = results.values()
    logger.info("Results so far on %s:\n%s", cfg.DATASETS.TEST[0], format_table(result))
    return result


def _trivial(cfg, evaluation, test_set, name):
    """{task key: {metric: value}} of the trivial predictor on a data set, as far as it can be had."""
    if not cfg.TEST.TRIVIAL:
        return {}
    if isinstance(test_set, COCODataset):
        return {}  # its thousands of images would take longer than testing the network, and its scores are well known
    key = {"train": list(cfg.DATASETS.TRAIN), "test": name, "parts": cfg.DATASETS.PARTS}
    path = _result_folder(cfg, name) / TRIVIAL
    try:
        return trivial_metrics(evaluation, lambda: build_datasets(cfg, is_train=True)[0], test_set, path, key)
    except UserError as error:
        # whoever has the weights and a test set alone can still test
        logger.warning("no scores of a trivial predictor, for it needs the training annotations: %s", error)
        return {}


def _interactions(arguments):
    """The gradient conflicts in the training of a checkpoint with these arguments, or None."""
    try:
        interactions = Interactions.of_state(arguments.get("loss_combiner", {}))
    except Unfit as fault:
        logger.warning(
            "the gradient conflicts of its training are not known, for the checkpoint's loss_combiner is damaged: %s",
            fault,
        )
        return None
    return None if interactions is None else interactions.summary()


def _show_interactions(interactions, path):
    if not path.is_file():
        with atomic_write(path) as file:
            file.write(draw_interactions(interactions, TASKS))
    logger.info("Gradient conflicts: %s", path)


def _finish(training, loaders, interactions):
    """Make what is missing of the results and the pictures, and show both."""
    cfg, model, device = training.cfg, training.model, training.device
    path, page = Path(cfg.OUTPUT_DIR) / RESULTS, Path(cfg.OUTPUT_DIR) / PAGE
    if not all_gather(path.is_file())[0]:
        with training.tested_weights():
            results = evaluate(cfg, model, loaders, device, cfg.TEST.NUM_EXAMPLES, interactions)
        result = None if results is None else results[cfg.DATASETS.TEST[0]]
        training.take_final_results(result)
        if result is not None:
            write_results(result, path, interactions)
    if not is_main_process():
        return
    drawn = [task for task in evaluated_tasks(cfg) if task.key in TASKS]  # a thousand proposals are no picture
    if drawn and cfg.TEST.NUM_PICTURES > 0 and not page.is_file():
        network = InferenceNetwork.of_config(cfg, model, device, loaders[0].dataset.vocabulary)
        size = cfg.DATALOADER.SIZE_DIVISIBILITY
        with training.tested_weights():
            draw_pictures(network, loaders[0].dataset, drawn, page, cfg.TEST.NUM_PICTURES, size, cfg)
    for name in cfg.DATASETS.TEST:
        file = path if name == cfg.DATASETS.TEST[0] else _result_folder(cfg, name) / RESULTS
        if file.is_file():
            logger.info("Results on %s:\n%s", name, format_table(read_results(file)))
    logger.info("Results: %s", path)
    best = describe(training.arguments.get(BEST_EVALUATION))
    if best:
        logger.info("Best network, %s: %s", best, Path(cfg.OUTPUT_DIR) / f"{BEST}.pth")
    if page.is_file():
        logger.info("Pictures, ground truth beside prediction: %s", page)
    report = _result_folder(cfg, cfg.DATASETS.TEST[0]) / REPORT
    if report.is_file():
        logger.info("Report with curves, classes, the worst and the best images: %s", report)


def _build_model(cfg, vocabulary, device):
    seed_everything(max(0, cfg.SOLVER.SEED))
    return build_detection_model(cfg, vocabulary).to(device)
