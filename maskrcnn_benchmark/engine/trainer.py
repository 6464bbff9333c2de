"""The training loop."""

import logging
from functools import partial

import torch

from maskrcnn_benchmark.engine.data_parallel import average_batch_norm_statistics, broadcast_state
from maskrcnn_benchmark.engine.determinism import deterministic_kernels
from maskrcnn_benchmark.engine.interruption import StopRequest
from maskrcnn_benchmark.engine.precision import float32_precision
from maskrcnn_benchmark.engine.progress import Progress
from maskrcnn_benchmark.engine.random_state import (
    get_random_state,
    seed_everything,
    set_random_state,
    untouched_random_state,
)
from maskrcnn_benchmark.engine.step import TrainingStep
from maskrcnn_benchmark.evaluation.protocols import build_protocols
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.utils.comm import all_gather, get_rank, get_world_size, synchronize
from maskrcnn_benchmark.utils.errors import Interrupted, UserError
from maskrcnn_benchmark.utils.resume_state import check_module_state
from maskrcnn_benchmark.utils.schema import Unfit
from maskrcnn_benchmark.utils.threads import keep_threads

FINAL = "model_final"

logger = logging.getLogger(__name__)


def do_train(
    cfg,
    model,
    data_loader,
    data_loader_val,
    optimizer,
    scheduler,
    checkpointer,
    device,
    checkpoint_period,
    test_period,
    arguments,
    *,
    loss_combiner=None,
    evaluate=None,
):
    """Train from iteration `arguments["iteration"]` to SOLVER.MAX_ITER.

    A run that was stopped or killed and is started again from its last checkpoint goes on as if nothing had happened:
    on one CPU process, and on one GPU with SOLVER.DETERMINISTIC, it ends with the same weights, bit for bit.

    Args:
        cfg: the config.
        model: images, targets -> {loss name: scalar} in training mode. With several processes leave it unwrapped.
        data_loader: yields (`ImageList`, list of targets, list of image indices), beginning at that iteration.
        data_loader_val: a loader to evaluate on when `evaluate` is None, at the last iteration, too, if its turn comes
            then; or None.
        optimizer, scheduler: from `solver`.
        checkpointer: from `utils.checkpoint`.
        device: where the model is.
        checkpoint_period, test_period: iterations between checkpoints, and between evaluations (0: none).
        arguments: {"iteration": 0} or what `checkpointer.load` returned. All of it goes into the next checkpoints.
        loss_combiner: a `LossCombiner`; built from the config by default. Its learned parameters, if any, belong into
            `optimizer`.
        evaluate: function without arguments that evaluates the model and returns results by task.

    Raises:
        UserError: a loss or a gradient was not finite.
        Interrupted: SIGINT or SIGTERM came; a checkpoint was saved.
    """
    solver = cfg.SOLVER
    start, end = arguments["iteration"], solver.MAX_ITER
    loss_combiner = (build_loss_combiner(cfg) if loss_combiner is None else loss_combiner).to(device)
    last_evaluation = end - 1  # whoever brings `evaluate` will evaluate the finished network anyway
    if evaluate is None and data_loader_val is not None:
        evaluate, last_evaluation = _evaluation_on(cfg, model, data_loader_val, device), end
    step = TrainingStep(
        model,
        loss_combiner,
        optimizer,
        device,
        dtype=cfg.DTYPE,
        accumulate=solver.ACCUMULATE_STEPS,
        clip_norm=solver.CLIP_GRADIENT_NORM,
    )
    random_states = _restore(arguments, loss_combiner, step, checkpointer)
    _keep_threads(arguments.pop("threads", None), torch.device(device))
    broadcast_state(model, loss_combiner)

    def save(name, iteration):
        average_batch_norm_statistics(model)
        arguments["iteration"] = iteration
        checkpointer.save(
            name,
            **arguments,
            loss_combiner=loss_combiner.state_dict(),
            grad_scaler=step.scaler.state_dict(),
            random_states=all_gather(get_random_state(device)),
            threads=torch.get_num_threads(),
        )

    logger.info("Start training at iteration %d of %d", start, end)
    model.train()
    with StopRequest() as stop, Progress(start, end, solver.LOG_PERIOD, checkpointer.save_dir, device) as progress:
        batches = iter(data_loader)
        # only now: starting the loader has drawn random numbers
        _start_random_numbers(random_states, solver.SEED, start, device)
        for iteration in range(start + 1, end + 1):
            images, targets, indices = next(batches)
            names = partial(_image_names, data_loader.dataset, indices)
            try:
                with float32_precision(cfg.TF32), deterministic_kernels(solver.DETERMINISTIC):
                    outcome = step(images, targets, names, lambda: stop.requested)
            except UserError as error:
                raise UserError(f"iteration {iteration}: {error}") from None
            lr = optimizer.param_groups[0]["lr"]
            scheduler.step()
            progress.step(iteration, outcome, lr, len(targets))

            if iteration == end:
                save(FINAL, iteration)
            elif outcome.stop or (checkpoint_period and iteration % checkpoint_period == 0):
                save(f"model_{iteration:07d}", iteration)
            if outcome.stop:
                raise Interrupted(
                    f"stopped after iteration {iteration} of {end}; run the same command again to go on from there"
                )
            if evaluate and test_period and iteration % test_period == 0 and iteration <= last_evaluation:
                average_batch_norm_statistics(model)
                with untouched_random_state(device):
                    progress.results(iteration, evaluate() or {})
                synchronize()  # patiently: the next step's collectives have a time limit
                model.train()
                progress.restart_clock()


def _restore(arguments, loss_combiner, step, checkpointer):
    """Hand the loop's own entries of a checkpoint to their owners; returns the random states, if there are any.

    `utils.resume_state.ENTRIES` has been compared with them before.
    """
    if "loss_combiner" in arguments:
        state = arguments.pop("loss_combiner")
        try:
            check_module_state(state, loss_combiner)
            loss_combiner.load_state_dict(state)
        except Unfit as fault:
            raise checkpointer.damaged("loss_combiner", fault) from None
        except (RuntimeError, KeyError, TypeError, ValueError):
            raise UserError(
                f"{checkpointer.get_checkpoint_file()}: its entry loss_combiner is of a training that combines its "
                "losses in another way (MULTITASK.WEIGHTING, MULTITASK.AGGREGATION or other tasks); go on with those "
                "options, or choose another OUTPUT_DIR"
            ) from None
    if arguments.get("grad_scaler"):
        step.scaler.load_state_dict(arguments["grad_scaler"])
    arguments.pop("grad_scaler", None)
    return arguments.pop("random_states", None)


def _keep_threads(threads, device):
    """Compute with the threads of the checkpoint, where numbers depend on them; None: it does not say."""
    change = keep_threads(threads) if threads is not None and device.type == "cpu" else ""
    if change:
        logger.info(change)


def _start_random_numbers(states, seed, iteration, device):
    """Continue each rank's random numbers, or begin them anew from seed, rank and iteration.

    They are those of the network, such as which regions are sampled. Batches and their transforms depend on neither.
    """
    if states is not None and len(states) == get_world_size():
        set_random_state(states[get_rank()], device)
        return
    if states is not None:
        logger.info(
            "%d process(es) go on where %d had come to: batches and schedule go on, and the random numbers of the "
            "network, such as those that sample regions, begin anew",
            get_world_size(),
            len(states),
        )
    seed_everything(max(0, seed) + 1_000_003 * get_rank() + iteration)


def _image_names(dataset, indices):
    """File names where the data set knows them, else the indices themselves."""
    if not hasattr(dataset, "get_img_info"):
        return [str(index) for index in indices]
    return [str(dataset.get_img_info(index).get("file_name", index)) for index in indices]


def _evaluation_on(cfg, model, data_loader, device):
    # imported here: whoever brings a model and a loader of their own needs no evaluators
    from maskrcnn_benchmark.engine.bbox_aug import build_bbox_aug
    from maskrcnn_benchmark.engine.inference import inference
    from maskrcnn_benchmark.evaluation.report import format_table
    from maskrcnn_benchmark.multitask.tasks import evaluated_tasks

    def evaluate():
        results = inference(
            model,
            data_loader,
            dataset_name="[Validation]",
            bbox_aug=cfg.TEST.BBOX_AUG.ENABLED,
            device=device,
            expected_results=cfg.TEST.EXPECTED_RESULTS,
            expected_results_sigma_tol=cfg.TEST.EXPECTED_RESULTS_SIGMA_TOL,
            tasks=[task.key for task in evaluated_tasks(cfg)],
            protocols=build_protocols(cfg),
            dtype=cfg.TEST.DTYPE,
            tf32=cfg.TEST.TF32,
            augmentation=build_bbox_aug(cfg, model) if cfg.TEST.BBOX_AUG.ENABLED else None,
        )
        if results is not None:
            logger.info("Results so far:\n%s", format_table(results))
        return results

    return evaluate
