"""The training loop."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config.class_weights import is_uncounted
from maskrcnn_benchmark.data.batches import Batches, StopWaiting
from maskrcnn_benchmark.engine.best_result import BEST, describe, is_over, score_of, with_evaluation
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
from maskrcnn_benchmark.engine.weight_average import WeightAverage
from maskrcnn_benchmark.multitask.loss_combiner import LossCombiner, build_loss_combiner
from maskrcnn_benchmark.tasks.metric_text import metric_text
from maskrcnn_benchmark.tasks.task import enabled_tasks
from maskrcnn_benchmark.utils.checkpoint import Checkpointer
from maskrcnn_benchmark.utils.comm import (
    all_gather,
    get_rank,
    get_world_size,
    run_once,
    synchronize,
    told_of_lost_processes,
)
from maskrcnn_benchmark.utils.errors import Interrupted, LostProcess, UserError
from maskrcnn_benchmark.utils.files import NotWritten
from maskrcnn_benchmark.utils.resume_state import check_module_state
from maskrcnn_benchmark.utils.schema import Unfit
from maskrcnn_benchmark.utils.threads import keep_threads
from maskrcnn_benchmark.utils.weights.weight_file import AVERAGE, AVERAGED_STEPS

FINAL = "model_final"
BEST_EVALUATION = "best_evaluation"  # the entry of a checkpoint, as `best_result.with_evaluation` returns it

_PATIENCE = 10  # seconds that one process of several waits for its batch when it is asked to stop

logger = logging.getLogger(__name__)


def do_train(
    cfg: CfgNode,
    model: nn.Module,
    data_loader: Any,
    data_loader_val: Any,
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    checkpointer: Checkpointer,
    device: torch.device | str,
    checkpoint_period: int,
    test_period: int,
    arguments: dict[str, Any],
) -> None:
    """The original library's call: train from iteration `arguments["iteration"]` to SOLVER.MAX_ITER, see `Training`.

    Args:
        data_loader: see `Training.run`.
        data_loader_val: a loader to evaluate on, at the last iteration, too, if its turn comes then; or None.
        checkpoint_period, test_period: iterations between checkpoints, and between evaluations (0: none).
    """
    training = Training(cfg, model, optimizer, scheduler, checkpointer, device, arguments)
    if data_loader_val is None:
        training.run(data_loader, checkpoint_period)
    else:
        evaluate = _evaluation_on(cfg, model, data_loader_val, device)
        training.run(data_loader, checkpoint_period, test_period, evaluate, evaluates_last=True)


@dataclass
class Training:
    """A training: all that its steps change and its checkpoints hold.

    A run that was stopped or killed and is started again from its last checkpoint goes on as if nothing had happened:
    on one CPU process, and on one GPU with SOLVER.DETERMINISTIC, it ends with the same weights, bit for bit.

    Attributes:
        cfg: the config.
        model: images, targets -> {loss name: scalar} in training mode. With several processes leave it unwrapped.
        optimizer, scheduler: from `solver`.
        checkpointer: from `utils.checkpoint`.
        device: where the model is.
        arguments: {"iteration": 0} or what `checkpointer.load` returned. All of it goes into the next checkpoints.
        loss_combiner: built from the config by default. Its learned parameters, if any, belong into `optimizer`.
        average: the `WeightAverage` that SOLVER.EMA_DECAY asks for, where the checkpoint left it; None without.
    """

    cfg: CfgNode
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any
    checkpointer: Checkpointer
    device: torch.device | str
    arguments: dict[str, Any]
    loss_combiner: LossCombiner = None  # type: ignore[assignment]
    average: WeightAverage | None = None

    def __post_init__(self) -> None:
        for task in enabled_tasks(self.cfg):
            if task.weights_option and is_uncounted(self.cfg.value_of(task.weights_option)):
                raise UserError(
                    f"{task.weights_option} is a rule of which no weights were made; call "
                    "data.class_weights.bind_class_weights before the network is built"
                )
        loss_combiner = (
            build_loss_combiner(self.cfg, enabled_tasks(self.cfg)) if self.loss_combiner is None else self.loss_combiner
        )
        self.loss_combiner = loss_combiner.to(self.device)
        if self.average is None:
            self.average = _weight_average(self.cfg, self.model, self.arguments, self.checkpointer)

    def tested_weights(self) -> contextlib.AbstractContextManager[None]:
        """Within this block the network has the weights that are tested: the average, where TEST.EMA says so."""
        is_used = self.average is not None and self.cfg.TEST.EMA
        return self.average.applied() if is_used else contextlib.nullcontext()  # type: ignore[union-attr]

    @property
    def is_finished(self) -> bool:
        """Whether it has come to SOLVER.MAX_ITER, or the evaluations have not become better for too long."""
        return is_finished(self.cfg, self.arguments)

    def take_results(self, results: Mapping[str, Any] | None, iteration: int) -> bool:
        """Remember in `arguments` what an evaluation says of SOLVER.BEST.METRIC. All processes call it.

        Args:
            results: of the evaluation, in the main process.
            iteration: that was evaluated.

        Returns:
            whether it is the best so far; False without that option.
        """
        metric = self.cfg.SOLVER.BEST.METRIC
        if not metric:
            return False
        value: Any = all_gather(run_once(lambda: score_of(results or {}, metric)))[0]
        before = self.arguments.get(BEST_EVALUATION)
        best, is_best = with_evaluation(before, metric, value, iteration)
        self.arguments[BEST_EVALUATION] = best
        if is_best:
            logger.info("the best so far: %s", describe(best))
        else:
            than = describe(best)
            words = f" is no better than {than}" * bool(than)
            logger.info("%s %s at iteration %d%s", metric, metric_text(metric, value), iteration, words)
        return is_best

    def take_final_results(self, results: Mapping[str, Any] | None) -> None:
        """`take_results` of the finished network; its checkpoint remembers it, and is the best one if it is."""
        iteration = self.arguments["iteration"]
        if not _is_unknown(self.arguments, self.cfg.SOLVER.BEST.METRIC, iteration):
            return
        is_best = self.take_results(results, iteration)
        known = {BEST_EVALUATION: self.arguments[BEST_EVALUATION]}
        self.checkpointer.amend(**known)
        if is_best:
            self.checkpointer.amend(BEST, **known)

    @told_of_lost_processes()
    def run(
        self,
        data_loader: Any,
        checkpoint_period: int,
        test_period: int = 0,
        evaluate: Callable[[], Mapping[str, Any] | None] | None = None,
        evaluates_last: bool = False,
    ) -> None:
        """Train from iteration `arguments["iteration"]` to SOLVER.MAX_ITER.

        Args:
            data_loader: yields (`ImageList`, list of targets, list of image indices), beginning at that iteration.
            checkpoint_period, test_period: iterations between checkpoints, and between evaluations (0: none).
            evaluate: evaluates the model and returns results by task.
            evaluates_last: whether the finished network is evaluated here, too, if its turn comes then.

        With SOLVER.BEST.METRIC the best of these evaluations is saved, and with PATIENCE the training ends before
        MAX_ITER where they stay behind it. An evaluation that the checkpoint to go on from does not know of is made
        first, so that a run that was stopped has the same best as one that was not.

        Raises:
            UserError: a loss or a gradient was not finite.
            LostProcess: another process has ended.
            Interrupted: SIGINT, SIGTERM or SIGHUP came; a checkpoint was saved. An evaluation is not waited for: the
                checkpoint is that of the iteration before it, and the run that goes on does not repeat the evaluation
                unless its result decides on something.
        """
        solver, arguments, device = self.cfg.SOLVER, self.arguments, self.device
        start = arguments["iteration"]
        end = start if self.is_finished else solver.MAX_ITER
        last_evaluation = end if evaluates_last else end - 1
        step = TrainingStep(
            self.model,
            self.loss_combiner,
            self.optimizer,
            device,
            dtype=self.cfg.DTYPE,
            accumulate=solver.ACCUMULATE_STEPS,
            clip_norm=solver.CLIP_GRADIENT_NORM,
        )
        random_states = _restore(arguments, self.loss_combiner, step, self.checkpointer)
        _keep_threads(arguments.pop("threads", None), torch.device(device))
        broadcast_state(self.model, self.loss_combiner)
        if self.average is not None:
            with self.average.applied():
                broadcast_state(self.model)

        def state(iteration):
            """What a checkpoint holds beside weights, optimizer and schedule; all processes take part."""
            average_batch_norm_statistics(self.model)
            averaged = {}
            if self.average is not None:
                with self.average.applied():
                    average_batch_norm_statistics(self.model)
                averaged = {AVERAGE: self.average.state_dict(), AVERAGED_STEPS: self.average.updates}
            return {
                **arguments,
                **averaged,
                "iteration": iteration,
                "loss_combiner": self.loss_combiner.state_dict(),
                "grad_scaler": step.scaler.state_dict(),
                "random_states": all_gather(get_random_state(device)),
                "threads": torch.get_num_threads(),
            }

        def save(iteration):
            self.checkpointer.save(FINAL if iteration == end else _checkpoint_name(iteration), **state(iteration))
            arguments["iteration"] = iteration
            self.checkpointer.keep_newest(solver.KEEP_CHECKPOINTS, iteration)

        def evaluate_between(iteration, unsaved):
            """Evaluate; if that is cut short, `unsaved`, the `state` of an iteration without a checkpoint, is saved."""
            try:
                with self.tested_weights(), stop.raised():
                    with untouched_random_state(device):
                        results = evaluate()
                        progress.results(iteration, results or {})
                    synchronize()  # patiently: the next step's collectives have a time limit
                if self.take_results(results, iteration):
                    self.checkpointer.save_beside(BEST, **state(iteration))
            except (KeyboardInterrupt, LostProcess, NotWritten) as ending:
                if unsaved is not None:
                    self.checkpointer.save_alone(_checkpoint_name(iteration), **unsaved)
                    arguments["iteration"] = iteration
                if isinstance(ending, NotWritten):
                    raise NotWritten(f"{ending}. Saved to iteration {iteration}: the same command goes on") from None
                if isinstance(ending, LostProcess):
                    raise
                raise Interrupted(_stopped(f"amid the evaluation after iteration {iteration} of {end}")) from None

        def is_evaluated(iteration):
            return bool(evaluate and test_period and iteration % test_period == 0 and iteration <= last_evaluation)

        def ends_early(iteration):
            """Whether the evaluation after an iteration was the last; the network is saved as the final one then."""
            if iteration == end or not self.is_finished:
                return False
            logger.info(
                "the training ends after iteration %d of %d: its last %d evaluations were no better than %s",
                *(
                    iteration,
                    end,
                    arguments[BEST_EVALUATION]["since"],
                    describe(arguments[BEST_EVALUATION]) or "nothing",
                ),
            )
            self.checkpointer.save(FINAL, **state(iteration))
            arguments["iteration"] = iteration
            return True

        logger.info("Start training at iteration %d of %d", start, end)
        self.model.train()
        saved = start
        with (
            StopRequest() as stop,
            Progress(start, end, solver.LOG_PERIOD, self.checkpointer.save_dir, device) as progress,
            # the others need this process's step to end theirs in good order
            Batches(data_loader, lambda: stop.requested, _PATIENCE if get_world_size() > 1 else 0) as batches,
        ):
            # only now: starting the loader has drawn random numbers
            _start_random_numbers(random_states, solver.SEED, start, device)
            if start and is_evaluated(start) and _is_unknown(arguments, solver.BEST.METRIC, start):
                evaluate_between(start, None)
                self.model.train()
                progress.restart_clock()
                if ends_early(start):
                    return
            for iteration in range(start + 1, end + 1):
                try:
                    images, targets, indices = next(batches)
                except StopWaiting:
                    raise _stopped_without_a_batch(iteration - 1, end, saved, save) from None
                names = partial(_image_names, data_loader.dataset, indices)
                try:
                    with float32_precision(self.cfg.TF32), deterministic_kernels(solver.DETERMINISTIC):
                        outcome = step(images, targets, names, lambda: stop.requested)
                except UserError as error:
                    raise UserError(f"iteration {iteration}: {error}") from None
                lr = self.optimizer.param_groups[0]["lr"]
                self.scheduler.step()
                if self.average is not None and not outcome.is_skipped:
                    self.average.update()
                progress.step(iteration, outcome, lr, len(targets))

                saves = iteration == end or outcome.stop or (checkpoint_period and iteration % checkpoint_period == 0)
                if saves:
                    save(iteration)
                    saved = iteration
                if outcome.stop:
                    raise Interrupted(_stopped(f"after iteration {iteration} of {end}"))
                if is_evaluated(iteration):
                    evaluate_between(iteration, None if saves else state(iteration))
                    self.model.train()
                    progress.restart_clock()
                    if ends_early(iteration):
                        return


def is_finished(cfg: CfgNode, entries: Mapping[str, Any]) -> bool:
    """Whether there is nothing left to train.

    Args:
        cfg: the config.
        entries: what a checkpoint holds: its "iteration", and what it remembers of evaluations.
    """
    best, solver = entries.get(BEST_EVALUATION), cfg.SOLVER
    return entries["iteration"] >= solver.MAX_ITER or is_over(best, solver.BEST.METRIC, solver.BEST.PATIENCE)


def _is_unknown(arguments, metric, iteration):
    """Whether an evaluation that decides on the best network was not finished before its checkpoint was written."""
    best = arguments.get(BEST_EVALUATION)
    return bool(metric) and (best is None or best["metric"] != metric or best["evaluated"] < iteration)


def _weight_average(cfg, model, arguments, checkpointer):
    """The `WeightAverage` of a config, by the entries of a checkpoint, which are taken out of `arguments`; or None."""
    state, updates = arguments.pop(AVERAGE, None), arguments.pop(AVERAGED_STEPS, None)
    decay, iteration = cfg.SOLVER.EMA_DECAY, arguments["iteration"]
    is_known = state is not None and updates is not None
    if not decay:
        if is_known:
            logger.info("SOLVER.EMA_DECAY is 0: the average of the weights that the checkpoint holds is given up")
        return None
    average = WeightAverage(model, decay)
    if is_known:
        try:
            average.load_state_dict(state, updates)
        except (Unfit, RuntimeError) as fault:
            raise checkpointer.damaged(AVERAGE, " ".join(str(fault).split())) from None
    elif iteration:
        logger.info("the checkpoint holds no average of its weights: it begins from those of iteration %d", iteration)
    return average


def _checkpoint_name(iteration):
    return f"model_{iteration:07d}"


def _stopped(when):
    return f"stopped {when}; run the same command again to go on from there"


def _stopped_without_a_batch(iteration, end, saved, save):
    """`Interrupted`, of a training that waits for a batch after that iteration; one process saves where it is."""
    if get_world_size() > 1:
        return Interrupted(
            f"stopped after iteration {iteration} of {end}: no batch had come {_PATIENCE} s after the request to stop; "
            "run the same command again to go on from the last checkpoint"
        )
    if iteration > saved:
        save(iteration)
    return Interrupted(_stopped(f"after iteration {iteration} of {end}, waiting for a batch"))


def restore_loss_combiner(state: Any, loss_combiner: LossCombiner, checkpointer: Checkpointer) -> None:
    """Give a `LossCombiner` the state that a checkpoint holds of one.

    Raises `UserError` if that is damaged, or of a training that combines its losses in another way.
    """
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


def _restore(arguments, loss_combiner, step, checkpointer):
    """Hand the loop's own entries of a checkpoint to their owners; returns the random states, if there are any.

    `utils.resume_state.ENTRIES` has been compared with them before.
    """
    if "loss_combiner" in arguments:
        restore_loss_combiner(arguments.pop("loss_combiner"), loss_combiner, checkpointer)
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
    from maskrcnn_benchmark.engine.inference import Evaluation, InferenceNetwork
    from maskrcnn_benchmark.engine.results import format_table

    def evaluate():
        vocabulary = getattr(data_loader.dataset, "vocabulary", None)
        network = InferenceNetwork.of_config(cfg, model, device, vocabulary)
        results = Evaluation.of_config(cfg).run(network, data_loader, "[Validation]")
        if results is not None:
            logger.info("Results so far:\n%s", format_table(results))
        return results

    return evaluate
