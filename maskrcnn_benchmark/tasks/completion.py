"""What a network predicts made complete: the outputs of derived tasks, and of all tasks what gives way to segments."""

from collections.abc import Iterable, Iterator

from yacs.config import CfgNode

from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS, Task, enabled_tasks

# The derived task whose segments are the scene that predictions of others may give way to
SCENE = "panoptic"


def derive_outputs(
    prediction: ImagePrediction,
    tasks: Iterable[Task],
    vocabulary: Vocabulary | None,
    cfg: CfgNode | None = None,
) -> ImagePrediction:
    """A prediction with the outputs of the derived tasks among `tasks`, where it has those that they are made from.

    It is called on what a network predicts once that has been resized to the image. Derived tasks may be made from one
    another, as `Task.deriver` of the config `cfg` says.
    """
    derived = {task.key: task for task in tasks if task.per == "derived" and task.key not in prediction.outputs}
    if not derived:
        return prediction
    made = ImagePrediction(prediction.size, image_id=prediction.image_id, outputs=prediction.outputs)

    def is_there(key: str) -> bool:
        return ("detection" if TASKS[key].per == "region" and key not in made.outputs else key) in made.outputs

    for _ in range(len(derived)):
        for key in [key for key, task in derived.items() if all(is_there(other) for other in task.requires)]:
            output = derived.pop(key).deriver(cfg)(made.outputs, vocabulary)
            if output is not None:
                made.outputs[key] = output
    return made


def complete_outputs(
    prediction: ImagePrediction,
    tasks: Iterable[Task],
    vocabulary: Vocabulary | None,
    cfg: CfgNode | None = None,
) -> ImagePrediction:
    """What a network predicts, resized to the image, as it is scored, written and shown.

    With the outputs of derived tasks (`derive_outputs`), which are made from what the network said, and then with
    whatever the options under TEST.JOINT let give way to the segments (`Task.refiner`), in the order of `tasks`.
    """
    tasks = list(tasks)
    made = derive_outputs(prediction, tasks, vocabulary, cfg)
    if made is prediction or SCENE not in made.outputs:  # nothing to go by, or it has been completed before
        return made
    for refine in [task.refiner(cfg) for task in tasks]:
        if refine is not None:
            made.outputs.update(refine(made.outputs, vocabulary))
    return made


def scene_problem(option: str, cfg: CfgNode) -> Iterator[str]:
    """For `Task.check`: an option under TEST.JOINT that is set asks for segments, which nobody makes."""
    scene = TASKS[SCENE]
    if scene not in enabled_tasks(cfg):
        wanted = ", ".join(f"MODEL.{task.switch}" for task in (scene, *(TASKS[key] for key in scene.requires)))
        value = cfg.value_of(option)
        yield f"{option} is {value}, but there are no segments to go by; set {wanted} True, or leave it out"
