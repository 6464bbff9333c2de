"""What a task is, and the registry that everything else walks.

A task is one object of a class of its own: names, options, labels, head, evaluator, files, drawings and exported
outputs. `Task` has good defaults for a task with one map per image; a task says what it does differently. Rooms below
this one are handed task objects and know none of them by name.
"""

import importlib
import keyword
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config import add_options
from maskrcnn_benchmark.config.class_weights import class_weights
from maskrcnn_benchmark.config.defaults import task_options
from maskrcnn_benchmark.config.options import ClassCount, Option
from maskrcnn_benchmark.evaluation.coco.proposals import MOST_PROPOSALS, ProposalEvaluator
from maskrcnn_benchmark.evaluation.detail_toolkit import ToolkitProposalEvaluator
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import DETAIL_TOOLKIT, Protocols
from maskrcnn_benchmark.evaluation.trivial import ObjectMeans, TrivialModel
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DENSE_STRIDE
from maskrcnn_benchmark.multitask.loss_combiner import declared_loss
from maskrcnn_benchmark.prediction_files.layout import PredictionFile, files_of
from maskrcnn_benchmark.prediction_files.lists import ObjectFile
from maskrcnn_benchmark.prediction_files.maps import ArrayMaps
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.objects import ObjectsWithValues, best_first
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Range
from maskrcnn_benchmark.visualization import maps
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.objects import missing_panel, paint_boxes, shown_objects

if TYPE_CHECKING:
    from maskrcnn_benchmark.data.dataset import AnnotatedDataset, LabelReader
    from maskrcnn_benchmark.data.statistics import DatasetCounts


class Task:
    """One task. A subclass sets the attributes and overrides what differs from a map per image.

    Attributes:
        key: the task's name in results, predictions and file names; also that of its label in
            `ImageAnnotations.labels` and of its output in `ImagePrediction.outputs`.
        title: its name for people.
        switch: the option under MODEL that turns it on.
        comment: what that option says of the task.
        on_by_default: whether that option is True where nobody sets it.
        losses: names of the losses that its head returns in training; a task without any is not trained. Of "loss_x" a
            head may return parts: "loss_x_stage0", "loss_x_stage1", ...; a task exchange adds "loss_x_initial0", ...
        headline: the metric that stands for it in the table.
        higher_is_better: direction of that metric, needed to compare networks (Delta_m).
        units: {metric: its unit, such as " m"} of those that are no shares. Tables show these as they are, with three
            digits, and all others in percent; see `metric_text.metric_text`.
        parameter_prefixes: what the names of the parameters begin with that may be its own. A parameter that several
            tasks share belongs to none, whatever its name.
        per: "image": a label and an output per image; "region": a field of every object, in labels and outputs alike;
            "derived": an output that is made from those of other tasks, without parameters or losses.
        requires: keys of the tasks whose outputs this one's may be made from or attached to, see `requirements`.
        follows: whether it is off where a task that it requires is; else such a config is an error.
        scored_with: keys of other tasks whose labels its metrics read as well, whether or not those are predicted.
        iou_type: what the original library calls it, "" for tasks that it does not have.
        weights_option: the option with the weights of its classes in its loss, in the range that
            `config.class_weights.class_weights_range` makes; "" without one. `class_names` are those classes.
    """

    key: str = ""
    title: str = ""
    switch: str = ""
    comment: str = ""
    on_by_default: bool = False
    losses: tuple[str, ...] = ()
    headline: str = ""
    higher_is_better: bool = True
    units: Mapping[str, str] = {}
    parameter_prefixes: tuple[str, ...] = ()
    per: Literal["image", "region", "derived"] = "image"
    requires: tuple[str, ...] = ()
    follows: bool = False
    scored_with: tuple[str, ...] = ()
    iou_type: str = ""
    weights_option: str = ""

    # Options ----------------------------------------------------------------------------------------------------------

    def requirements(self, cfg: CfgNode) -> tuple[str, ...]:
        """Keys of the tasks, of `requires`, that must be on as well where a config turns this one on."""
        return self.requires

    def chosen_by(self, cfg: CfgNode) -> str:
        """The options that decide on `requirements`, for messages: "MODEL.MASK_ON"."""
        return f"MODEL.{self.switch}"

    def options(self) -> list[Option]:
        """Its options beside those that every task has (`config.defaults.task_options`)."""
        return []

    def check(self, cfg: CfgNode) -> Iterator[str]:
        """Problems between its options where it is on, each one line that names them and the remedy."""
        return iter(())

    def class_counts(self, vocabulary: Vocabulary) -> list[ClassCount]:
        """The options with a number of classes that a vocabulary decides."""
        return []

    def class_weights(self, cfg: CfgNode, vocabulary: Vocabulary | None) -> tuple[float, ...] | None:
        """The weights of its classes that a config says, see `config.class_weights.class_weights`.

        Args:
            vocabulary: that of the training data; None where it is not known.
        """
        if not self.weights_option:
            return None
        names = None if vocabulary is None else self.class_names(vocabulary)
        return class_weights(self.weights_option, cfg.value_of(self.weights_option), names)

    def region_options(self, cfg: CfgNode) -> CfgNode | None:
        """The group under MODEL of its head on regions, with those of `region_pooling`; None without such a head."""
        return None

    def dense_features(self, cfg: CfgNode) -> set[str]:
        """Which features per image its head reads, of "pyramid", "dense" and "fine"; for what an image costs."""
        return {self.reads(cfg)} & {"pyramid", "dense", "fine"}

    def planes(self, cfg: CfgNode) -> int:
        """Planes of its map per image or per region; for what an image costs. 0 without a map."""
        return 1

    def bounds(self) -> dict[str, Range]:
        """{option: range} in a config that comes along with weights, where the option's own range costs too much.

        POOLER_SAMPLING_RATIO and RESOLUTION of any group have such ranges already.
        """
        return {}

    # Labels -----------------------------------------------------------------------------------------------------------

    # {layout of a data set: what reads the labels from it}, see `label_reader`
    label_readers: "Mapping[str, type[LabelReader]]" = {}

    @property
    def label_field(self) -> str | None:
        """What its label is called among the fields of the objects; None: it has an entry of its own in `labels`."""
        return self.key if self.per == "region" else None

    # Whether the label stays true when objects of another image are pasted on the image (INPUT.COPY_PASTE): one per
    # image by `paste(other, mask)` of its structure, a field of the objects by its `cover(mask)` and `cat`; tensors
    # stay as they are. Otherwise such an image is not annotated for the task. See `ImageAnnotations.paste`
    can_be_pasted: bool = False
    # Whether the label of a pasted object follows from its class and its mask: else only objects of images that are
    # annotated for the task can be pasted on an image that is. The structure of an added task's label per image gets
    # the objects, a `BoxList` with "labels" and "masks", in place of the other image's label: `paste(objects, mask)`
    is_pasted_by_class: bool = False

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        """Whether an image is annotated for this task."""
        if self.label_field is None:
            return self.key in annotations.labels
        return annotations.instances is not None and annotations.instances.has_field(self.label_field)

    def label_reader(self, dataset: "AnnotatedDataset") -> "LabelReader | None":
        """How the labels are read from a data set that is being opened, None where it has none.

        By default what `label_readers` has for its layout; for a derived task those of the tasks that it requires. A
        data set of a user's class sets the labels itself.
        """
        if self.per == "derived":
            from maskrcnn_benchmark.data.dataset import DerivedReader

            readers: dict[str, Any] = {key: TASKS[key].label_reader(dataset) for key in self.requires}
            return None if None in readers.values() else DerivedReader(readers)
        make = self.label_readers.get(dataset.layout)
        return None if make is None else make(dataset)

    def has_names(self, vocabulary: Vocabulary) -> bool:
        """Whether a vocabulary has the classes that this task speaks of; a field of objects needs theirs."""
        return self.label_field is None or bool(vocabulary.thing_names)

    def names(self, vocabulary: Vocabulary) -> dict[str, Any]:
        """{what is named: the names} on which its metrics depend; those of a field of objects on the objects' classes.

        A network is scored only on data sets of which these names are those that it learnt.
        """
        return {} if self.label_field is None else {"classes of objects": vocabulary.thing_names}

    def rename(self, source: Vocabulary, target: Vocabulary) -> Callable[[Any], Any] | None:
        """How labels in the names of one vocabulary read in those of another.

        Returns:
            function from a label, which it leaves as it is, to one in the target's names, or None where none of its
            names is left. A task whose label is a field of the objects gets their `BoxList`, with the labels of the
            source, and returns one with the field in the target's names. Unless a task says otherwise its labels stay,
            of a derived task where those of the tasks that it requires do.
        """
        if self.per == "derived" and any(TASKS[key].rename(source, target) is None for key in self.requires):
            return None
        return _same

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        """What is worth counting on an image that is annotated, for the page about a data set.

        Returns:
            {name: number or small array}; under "classes" names of the vocabulary's classes that occur. Unless a task
            says otherwise, a whole number or a float and a name that says of what.
        """
        if self.label_field is not None:
            return {"objects": len(annotations.instances)}
        label: Any = annotations.labels.get(self.key)  # a derived task has none
        if isinstance(label, torch.Tensor):
            return {"mean" if label.numel() > 1 else "value": float(label.float().mean())}
        if hasattr(label, "edges"):
            return {"edge pixels": int(label.edges.count_nonzero())}
        if hasattr(label, "labels"):
            return {"share of labelled pixels": float((label.labels != IGNORE_INDEX).float().mean())}
        return {}

    def class_names(self, vocabulary: Vocabulary) -> Sequence[str]:
        """The classes whose frequencies decide on weights or on how often images are drawn; () without such classes."""
        return ()

    def class_amounts(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> np.ndarray:
        """How much of each of `class_names` an image that is annotated has, such as pixels: [C].

        A task per region is not asked: its classes are those of the objects.
        """
        return np.zeros(len(self.class_names(vocabulary)))

    def facts(self, count: dict[str, Any], vocabulary: Vocabulary) -> list[tuple[str, str]]:
        """What the page says below an image of its `count`: (name, text)."""
        return [
            (self.key, f"{number:,} {name}" if isinstance(number, int) else f"{name} {number:.3g}")
            for name, number in count.items()
            if isinstance(number, (int, float))
        ]

    def tiles(self, counts: "DatasetCounts") -> list[tuple[str, int]]:
        """Total numbers that head the page: (name, number)."""
        return []

    def cards(self, counts: "DatasetCounts") -> list[str]:
        """Charts of distributions, each the HTML of a `card` of `visualization.dataset_page`."""
        from maskrcnn_benchmark.visualization.dataset_page import cards_of_numbers

        return cards_of_numbers(self.key, self.title, counts)

    def sections(self, counts: "DatasetCounts") -> list[tuple[str, str]]:
        """Further sections of the page: (title, HTML)."""
        return []

    # Network ----------------------------------------------------------------------------------------------------------

    # Key of the task behind whose head its own is made, and so draws its random weights; else the registry's order
    head_after: str | None = None

    def reads(self, cfg: CfgNode) -> str:
        """What its head reads, and so where the head belongs and what `build_head` is told the channels of.

        Heads with one output per image read "pyramid" (the backbone's maps of strides 4 to 32), "dense" (the features
        that the dense decoder makes of them, at stride 4) or "fine" (the edge decoder's, at MODEL.EDGE_DECODER.STRIDE).
        Heads with one output per region read "maps" (those of the backbone, which they pool themselves) or "box" (the
        features by which the box head tells its regions apart: vectors [R, C] or maps [R, C, h, w]).
        """
        return {"region": "maps", "image": "dense"}.get(self.per, "nothing")

    def shares_box_features(self, cfg: CfgNode) -> bool:
        """Whether its head gets the box head's region features, though it may have an extractor of its own."""
        return self.reads(cfg) == "box"

    def head_name(self, cfg: CfgNode) -> str:
        """The name of its head in `fpn_heads.heads` or `roi_heads`, which names of parameters begin with."""
        return self.key

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> nn.Module | None:
        """The head, (features, proposals, targets) -> (outputs or regions, losses); None: the task has no head.

        A head per image gets `DenseFeatures` and no proposals, and returns one output per image, or None and its losses
        where there are targets, see `CombinedFPNHeads`. A head per region gets the backbone's maps and one `BoxList`
        per image, and returns them with a field of outputs, or the losses, see `CombinedROIHeads`. Labels that are None
        or unknown add no loss; without any the loss is left out.

        Args:
            cfg: the config.
            in_channels: channels of what the head `reads`.
            vocabulary: that of the training data; None where it is not known.
        """
        return None

    def label_of(self, annotations: ImageAnnotations) -> Any:
        """Its label on an image, or of the objects there if it is a field of theirs; None where not annotated."""
        if self.label_field is None:
            return annotations.labels.get(self.key)
        instances = annotations.instances
        has_label = instances is not None and instances.has_field(self.label_field)
        return instances.get_field(self.label_field) if has_label else None

    def derive(self, outputs: Mapping[str, Any], vocabulary: Vocabulary | None) -> Any:
        """A derived task's output on an image; what costs much is better left to a `ScoreMap.computed`.

        Args:
            outputs: {task key: output} of the image at the size that is asked for, those of `requires` among them. The
                outputs of tasks per region are fields of the `BoxList` under "detection".
            vocabulary: that of the network; None where it is not known.
        """
        raise NotImplementedError(f"{type(self).__name__} is a derived task and must define derive")

    def deriver(self, cfg: CfgNode | None) -> Callable[[Mapping[str, Any], Vocabulary | None], Any]:
        """`derive` as the options of a config say; of a task without options `derive` itself.

        Args:
            cfg: that of the network; None for the options' defaults.
        """
        return self.derive

    def refiner(
        self, cfg: CfgNode | None
    ) -> Callable[[Mapping[str, Any], Vocabulary | None], Mapping[str, Any]] | None:
        """How its prediction gives way to the segments of the image, as options under TEST.JOINT say.

        Args:
            cfg: that of the network; None for the options' defaults.

        Returns:
            function from {task key: output}, as `derive` gets them but with that of `completion.SCENE`, and the
            vocabulary to {key: output} of those that it changes, as new objects; None where nothing is to change.
        """
        return None

    # Test-time augmentation -------------------------------------------------------------------------------------------

    def mirror_back(self, output: torch.Tensor, vocabulary: Vocabulary | None) -> torch.Tensor:
        """What a head per image said of the mirrored image, as it would say it of the image itself.

        Args:
            output: float [C, H, W], one cell per pixel, or what is said of the image as a whole.
            vocabulary: that of the network; None where it is not known.
        """
        return output.flip(-1) if output.ndim == 3 else output

    def to_mean(self, output: torch.Tensor) -> torch.Tensor:
        """What is averaged over views of an image: probabilities of an output that has logits, else the output."""
        return output

    def of_mean(self, mean: torch.Tensor) -> torch.Tensor:
        """The way back from the mean of `to_mean` to an output, to be scored and drawn as any other."""
        return mean

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        """What scores its predictions.

        Args:
            vocabulary: the data set's names.
            protocols: the choices where the field has two definitions.

        Raises:
            UserError: the vocabulary lacks the names that the task speaks of.
        """
        raise NotImplementedError(f"the task {self.key!r} has no evaluator: give {type(self).__name__} build_evaluator")

    def trivial(self, vocabulary: Vocabulary) -> TrivialModel | None:
        """How its annotations usually lie, such as `evaluation.trivial.MeanMap` of them; None: no trivial scores."""
        return None

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> Any:
        """What is stored of a prediction: it is scored and, as far as files hold it, written.

        By default what its file holds, {key of a file: what it holds} of several, and without any the numbers as they
        are.

        Args:
            prediction: at the image's own resolution.
            vocabulary: the network's names.

        Raises:
            ValueError: the prediction has no such output.
        """
        output = self.output(prediction, "detection" if self.per == "region" else None)
        files: tuple[Any, ...] = self.files()
        if not files:
            return getattr(output, "scores", output).cpu().numpy()
        return files[0].hold(output) if len(files) == 1 else {file.key: file.hold(output) for file in files}

    def output(self, prediction: ImagePrediction, key: str | None = None) -> Any:
        """The output of this task, or of that named; raises `ValueError` where the network did not predict it."""
        key = self.key if key is None else key
        if key not in prediction.outputs:
            raise ValueError(f"{self.key}: the prediction has no {key}; evaluate only what the network predicts")
        return prediction.outputs[key]

    def files(self) -> tuple[PredictionFile, ...]:
        """The lists and maps that hold its predictions; () where they are scored, but not written.

        By default a grey PNG of 8 bits per image, or a list with a box and a value per object. An array of other
        channels, dtype or range is `(ArrayMaps(self.key, dtype="float32", channels=3, low=-1, high=1),)`, a vector per
        image `(VectorFile(self.key),)`.
        """
        return (ObjectFile(self.key),) if self.per == "region" else (ArrayMaps(self.key),)

    def to_files(self, stored: Any) -> dict[str, Any]:
        """{key of a file: what it holds} of a stored prediction; a file that is not in it has nothing of the image.

        By default all of it is in the only file, and where there are several, it is such a dictionary itself.
        """
        files = self.files()
        return {files[0].key: stored} if len(files) == 1 else stored

    def from_files(self, held: dict[str, Any], size: tuple[int, int]) -> Any:
        """What `to_files` was given, of an image of `size` (width, height); optional files may be missing."""
        return next(iter(held.values())) if len(self.files()) == 1 else held

    def decode(self, stored: Any, size: tuple[int, int], vocabulary: Vocabulary) -> Any:
        """A stored prediction as its output in `ImagePrediction.outputs`, to be drawn; by default of the first file.

        Of a task whose predictions are a list of objects this is a `BoxList` with labels, scores and its field.
        """
        file: Any = self.files()[0]
        return file.decode(self.to_files(stored)[file.key], size, vocabulary)

    # Pictures ---------------------------------------------------------------------------------------------------------

    # What has to be reached to be shown: scores of objects, strength of edges, probability of labels, 0..1
    threshold: float = 0.5
    # Whether an overlay shows the task unless others are asked for
    on_photograph: bool = False
    # Whether its overlay writes name and score of every object that it shows, so that others need not
    names_objects: bool = False
    # How a panel mutes the image that it is painted on: `fade` and `grey` of a `Canvas`
    backdrop: Mapping[str, Any] = {}
    # What a panel says of annotations and of a prediction in which `paint` found nothing
    nothing: tuple[str, str] = ("none in this image", "none above score {threshold:g}")

    @property
    def layer(self) -> int:
        """Where its overlay lies: what has a larger number is painted later, on top."""
        return 75 if self.per == "region" else 25

    def value_names(self, vocabulary: Vocabulary) -> Sequence[str]:
        """What the labels, channels or entries of its output are called in pictures; without any they are numbered."""
        return ()

    def content(self, known: Known) -> Any:
        """The task's label in annotations or its output in a prediction; None without one.

        Of a task per region it is the field of the objects.
        """
        members = known.outputs if isinstance(known, ImagePrediction) else known.labels
        if self.per != "region":
            return members.get(self.key)
        objects = members.get("detection")
        return objects.get_field(self.key) if objects is not None and objects.has_field(self.key) else None

    def can_draw(self, known: Known, vocabulary: Vocabulary) -> bool:
        """Whether there is something to draw; otherwise a panel says that it is not annotated or predicted."""
        return self.content(known) is not None

    def draw(
        self,
        image: np.ndarray,
        known: Known,
        vocabulary: Vocabulary,
        threshold: float | None = None,
        scale: float | None = None,
    ) -> np.ndarray:
        """A picture of what is known of an image, on a panel of its own.

        Args:
            image: uint8 [H, W, 3] RGB.
            known: of the size of the image; boxes of a prediction are in its pixels.
            vocabulary: names the labels.
            threshold: least score of a predicted object, strength of a predicted edge or probability of a predicted
                label to be shown as found; annotations are shown whatever it is. None takes that of the task.
            scale: pixels of the picture per pixel of the image; None makes the picture legible (`canvas_scale`).

        Returns:
            uint8 [h, w, 3] RGB, the image's size times `scale`, with a strip below it where the task has a legend; a
            grey panel where there is nothing to draw.
        """
        if not self.can_draw(known, vocabulary):
            return missing_panel(image, known, scale)
        predicted, content = isinstance(known, ImagePrediction), self.content(known)
        if isinstance(content, torch.Tensor) and self.per != "region":
            names = self.value_names(vocabulary)
            return maps.vector_panel(image, content.reshape(-1), names, vocabulary, predicted, scale)
        threshold = self.threshold if threshold is None else threshold
        canvas = Canvas(image, scale=scale, **self.backdrop)
        if self.paint(canvas, known, vocabulary, threshold) == 0:
            canvas.note(self.nothing[predicted].format(threshold=threshold))
        return canvas.finish()

    def paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float) -> int | None:
        """Paint on a canvas: a map by what its values look like, a value of each object as a text at its box.

        Args:
            canvas: painted in place.
            known, vocabulary, threshold: as `draw` takes them; there is something to draw.

        Returns:
            how many objects were shown; None where that is not what is drawn.
        """
        if self.per != "region":
            maps.paint_map(canvas, self.content(known), threshold, self.value_names(vocabulary))
            return None
        objects, names = shown_objects(known.instances, threshold), self.value_names(vocabulary)
        texts = [maps.text_of(value, names) for value in objects.get_field(self.key)]
        return paint_boxes(canvas, objects, texts, vocabulary)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: "Thresholds") -> int | None:
        """Paint on a photograph that shows other tasks, too.

        Args:
            canvas, known, vocabulary: as `paint` takes them.
            thresholds: {task: its threshold} of all that the photograph shows, this task among them.

        Returns:
            as `paint`.
        """
        content = self.content(known)
        if isinstance(content, torch.Tensor) and self.per != "region":
            names, predicted = self.value_names(vocabulary), isinstance(known, ImagePrediction)
            maps.paint_vector(canvas, content.reshape(-1), names, vocabulary, predicted, thresholds[self])
            return None
        return self.paint(canvas, known, vocabulary, thresholds[self])

    def legend(self, vocabulary: Vocabulary) -> Legend:
        """What its colours mean; groups of the same title are shared by tasks."""
        return []

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> Any:
        """What a user gets of a prediction: `Predictor(...)(image)[key]`.

        Args:
            prediction: its boxes are in pixels of the image, its maps have one cell per pixel.
            vocabulary: names the labels.
            threshold: see `threshold`.

        Returns:
            the scores of a map, float [C, H, W], or the output itself; of a task per region the objects that reach the
            threshold with its field as their `values`; None without an output.
        """
        content = self.content(prediction)
        if content is None:
            return None
        if self.per != "region":
            return getattr(content, "scores", content)
        objects = best_first(prediction.instances, threshold)
        return ObjectsWithValues.of(objects, vocabulary, values=objects.get_field(self.key))

    def has_threshold(self, cfg: CfgNode) -> bool:
        """Whether a threshold changes what is shown of it."""
        return True

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        """{name: `ExportedOutput`}: what an exported network says of this task.

        Args:
            head: the task's head, whose `stride` is the pixels per cell of its map (4 where it does not say).
        """
        if self.per == "region":
            return {self.key: ExportedOutput("float32 [objects, ...]", f"{self.title} of each object")}
        return {self.key: ExportedOutput("float32", self.title, stride=getattr(head, "stride", DENSE_STRIDE))}

    def export_refusal(self, cfg: CfgNode, head: nn.Module) -> str | None:
        """Why a network with this head cannot be exported, None where it can."""
        if hasattr(head, "scores"):
            return None
        return f"the head of the task {self.key!r} ({type(head).__name__}) has no method `scores`"

    def export_prediction(self, prediction: ImagePrediction) -> dict[str, torch.Tensor]:
        """The network's own prediction in the form of the exported outputs, which are checked against it.

        Returns:
            {name: tensor}. A map has a cell for every pixel of the image, what is said per object a row for each.
        """
        if self.per == "region":
            return {self.key: prediction.instances.get_field(self.key)}
        output = prediction.outputs[self.key]
        return {self.key: output if isinstance(output, torch.Tensor) else output.resize(prediction.size).scores}

    def export_tensors(
        self,
        head: Any,
        features: Any,
        regions: Any,
    ) -> dict[str, torch.Tensor]:
        """The outputs for one image in a form that can be traced: no Python here may read a number.

        Args:
            head: the task's head. In its `feature_extractor`, a pooler takes boxes float [R, 4] of one image.
            features: the `DenseFeatures` of a batch of one image; for a head on regions the pyramid maps or, if it has
                no `feature_extractor`, the features [R, ...] by which the box head tells the regions apart.
            regions: the `Detections` that a head on regions describes, R >= 1, the last of which is none: with boxes
                float [R, 4] (xyxy, inclusive), scores float [R] and labels int64 [R]. None for a head on images.

        Returns:
            {name: tensor}. A map [..., h, w] is as coarse as its `ExportedOutput.stride` and as padded as the batch;
            what is said of regions has a row for each.
        """
        if regions is None:
            return {self.key: head.scores(features)[0]}
        if isinstance(features, torch.Tensor):
            return {self.key: head.scores(features)}
        return {self.key: head.scores(features, regions.boxes)}

    @property
    def is_added(self) -> bool:
        """Whether it comes from outside this package."""
        return not type(self).__module__.startswith("maskrcnn_benchmark.tasks.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r})"


def _same(label: Any) -> Any:
    return label


Thresholds = Mapping[Task, float]  # of all tasks that a photograph shows


class Registry(MutableMapping[str, Task]):
    """{key: task}: those of this package in the order in which `own` imports them, then others as they are registered.

    The package's own are imported when the registry is first read: the rooms that they are made of can so be
    imported before them.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._is_filled = False

    def fill(self) -> None:
        """Import the package's own tasks, unless that was done."""
        if self._is_filled:
            return
        self._is_filled = True  # the tasks read the registry, too
        try:
            own = importlib.import_module("maskrcnn_benchmark.tasks.own")
        except BaseException:
            self._is_filled = False
            raise
        # whichever file was imported first, the order is that of `own`
        self._tasks = {name: self._tasks[name] for name in vars(own) if name in self._tasks} | self._tasks

    def __getitem__(self, key: str) -> Task:
        self.fill()
        return self._tasks[key]

    def __setitem__(self, key: str, task: Task) -> None:
        self._tasks[key] = task

    def __delitem__(self, key: str) -> None:
        del self._tasks[key]

    def __iter__(self) -> Iterator[str]:
        self.fill()
        return iter(self._tasks)

    def __len__(self) -> int:
        self.fill()
        return len(self._tasks)


TASKS = Registry()


class Proposals(Task):
    """What stands in the results for all predictions per region where a network ends after its proposals."""

    key = "box_proposal"
    title = "region proposals"
    switch = "RPN_ONLY"
    headline = "AR@1000"
    per = "region"
    label_field = None
    iou_type = "box_proposal"

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        return annotations.instances is not None

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        kind = ToolkitProposalEvaluator if protocols.detection == DETAIL_TOOLKIT else ProposalEvaluator
        return kind(self, vocabulary)

    def trivial(self, vocabulary: Vocabulary) -> ObjectMeans:
        """The most frequent boxes."""
        return ObjectMeans(vocabulary)

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> np.ndarray:
        """float32 [N, 4], boxes xyxy with the last pixel included, best first."""
        proposals = self.output(prediction, "detection").convert("xyxy")
        scores = proposals.get_field("objectness" if proposals.has_field("objectness") else "scores")
        return proposals.bbox[scores.argsort(descending=True, stable=True)[:MOST_PROPOSALS]].cpu().numpy()

    def files(self) -> tuple[PredictionFile, ...]:
        return ()


# No task of its own, and so not in the registry
PROPOSALS = Proposals()


def register_task(task: Task) -> Task:
    """Add a task to the registry, and its options to the global config; do so before the config is read.

    These are its own `options` and those that every task has: its switch, and where it has losses
    MULTITASK.LOSS_WEIGHTS, START, STOP and LR_FACTORS, each under the task's key in capitals, and
    MULTITASK.SINGLE_LOSS_WEIGHTS of its losses. A task of the same class that is there already is no error.

    Returns:
        the task that is registered.

    Raises:
        ValueError: an attribute is not as `Task` says, its key is taken by what predictions, annotations or boxes hold
            (`RESERVED_KEYS`), another task has its key, its switch or one of its losses, it requires what is no task,
            another option is called as one of its own, or the config is frozen.
    """
    is_own = not task.is_added
    if not is_own:
        TASKS.fill()  # the package's own are first
    known = TASKS._tasks.get(task.key)
    if known is not None and _name_of_class(known) == _name_of_class(task):
        return known
    problem = _problem_of_declaration(task)
    if problem:
        raise ValueError(f"the task {task.key!r} {problem}")
    for other in (*TASKS._tasks.values(), PROPOSALS):
        shared = {task.key, task.switch, *task.losses} & {other.key, other.switch, *other.losses}
        if shared:
            raise ValueError(f"the task {task.key!r} has {sorted(shared)[0]!r} in common with {other.title}; rename it")
    unknown = [key for key in task.requires if key not in TASKS._tasks]
    if unknown and not is_own:
        raise ValueError(f"the task {task.key!r} requires {unknown[0]!r}, which is no task; register that one first")
    comment = task.comment or f"Task: {task.title}"
    shared_options = task_options(task.key, task.switch, comment, task.losses, task.on_by_default)
    add_options([*shared_options, *task.options()])
    TASKS[task.key] = task
    return task


# Names of fields of boxes, of members of annotations, predictions and a `PredictedImage`, and of lines in the results
_FIELDS = "labels scores objectness logits bbox mask masks keypoints keypoint_cells parts part_limits iscrowd difficult"
_MEMBERS = (
    "size image image_id tasks name path seconds clip vocabulary thresholds with_thresholds nbytes draw save stored "
    "to_dict to_json scene consistency prediction outputs known_labels roi_features matched_idxs regression_targets"
)
_LINES = "box_proposal delta_m interactions"
RESERVED_KEYS = frozenset(
    [
        *f"{_FIELDS} {_MEMBERS} {_LINES}".split(),
        *(name for kind in (ImageAnnotations, ImagePrediction) for name in dir(kind) if not name.startswith("_")),
    ]
)


def _problem_of_declaration(task: Task) -> str | None:
    """What is wrong with the attributes of a task, in words that follow its key; None for nothing."""
    if not _is_name(task.key) or task.key != task.key.lower():
        return "has a key that is no name in lower case; give one such as 'depth'"
    if task.is_added and task.key in RESERVED_KEYS and task.key not in TASKS._tasks:
        return f"has the key of something else that predictions or annotations hold; call it {task.key + '_map'!r}"
    if not _is_name(task.switch) or task.switch != task.switch.upper():
        return f"has the switch {task.switch!r}; give the name of an option under MODEL such as 'DEPTH_ON'"
    for name, means in (("title", "what it is called"), ("headline", "the metric that stands for it")):
        if not isinstance(getattr(task, name), str) or not getattr(task, name):
            return f"has the {name} {getattr(task, name)!r}; give {means}"
    for name in ("losses", "requires", "scored_with", "parameter_prefixes"):
        names = getattr(task, name)
        if not isinstance(names, (tuple, list)) or not all(isinstance(each, str) and each for each in names):
            return f"has {name} {names!r}; give a tuple of names"
    odd = [name for name in task.losses if not _is_name(name)]
    if odd:
        return f"has the loss {odd[0]!r}; give a name such as 'loss_depth'"
    if task.per not in ("image", "region", "derived"):
        return f"is per {task.per!r}; give 'image', 'region' or 'derived'"
    if task.per == "derived" and task.losses:
        return "is derived and has losses; leave them out, or give it a head per image or region"
    return None


def _is_name(text: Any) -> bool:
    return isinstance(text, str) and text.isidentifier() and not keyword.iskeyword(text)


def check_tasks(tasks: Iterable[Task], vocabulary: Vocabulary, protocols: Protocols | None = None) -> None:
    """Find before a training what would only show after it: evaluators and files of tasks that are to be scored.

    Raises:
        UserError: a task has no evaluator, or its files cannot be; the message names it.
    """
    tasks = list(tasks)
    for task in tasks:
        try:
            task.build_evaluator(vocabulary, protocols or Protocols())
            files_of([task])
        except (NotImplementedError, ValueError, TypeError) as error:
            raise UserError(f"the task {task.key!r} cannot be scored: {error}") from error
    files_of(tasks)


def _name_of_class(task: Task) -> tuple[str, str]:
    return type(task).__module__, type(task).__qualname__


def tasks_of_layout(layout: str) -> dict[str, Task]:
    """{key: task} of those whose labels a layout of data sets has in its own files: "detail" has eight."""
    return {key: task for key, task in TASKS.items() if layout in task.label_readers}


def enabled_tasks(cfg: CfgNode) -> list[Task]:
    """The tasks that a config turns on, in the registry's order.

    One that `follows` is on only where all that it is made of is: a config that turns one of these off need not say so
    of the tasks behind it.
    """
    on = {task.key: task for task in TASKS.values() if getattr(cfg.MODEL, task.switch)}
    while lacking := [key for key, task in on.items() if task.follows and not on.keys() >= {*task.requires}]:
        on = {key: task for key, task in on.items() if key not in lacking}
    return list(on.values())


def with_requirements(keys: Iterable[str], cfg: CfgNode | None = None) -> set[str]:
    """Keys of tasks and of those that they need to be on, by a config or, without one, in any config."""
    found: set[str] = set()
    open_keys = list(keys)
    while open_keys:
        key = open_keys.pop()
        if key not in found:
            found.add(key)
            open_keys += TASKS[key].requires if cfg is None else TASKS[key].requirements(cfg)
    return found


def scored_labels(keys: Iterable[str]) -> set[str]:
    """Keys of the tasks whose labels are read to score those given: themselves and their `scored_with`."""
    keys = set(keys)
    return keys.union(other for key in keys if key in TASKS for other in TASKS[key].scored_with)


def region_heads(cfg: CfgNode) -> list[tuple[Task, CfgNode]]:
    """The tasks that a config turns on and that have a head on regions, and the options of these heads."""
    if cfg.MODEL.RPN_ONLY or cfg.MODEL.RETINANET_ON:
        return []
    groups = [(task, task.region_options(cfg)) for task in enabled_tasks(cfg)]
    return [(task, group) for task, group in groups if group is not None]


def evaluated_tasks(cfg: CfgNode) -> list[Task]:
    """What a config's network is scored on: the enabled tasks, or `PROPOSALS` in place of those per region."""
    if not cfg.MODEL.RPN_ONLY or cfg.MODEL.RETINANET_ON:  # RetinaNet's configs say RPN_ONLY, but it does detect
        return enabled_tasks(cfg)
    return [PROPOSALS, *(task for task in enabled_tasks(cfg) if task.per != "region")]


def annotated_tasks(annotations: ImageAnnotations) -> set[str]:
    """Keys of the tasks that are annotated on an image."""
    return {task.key for task in TASKS.values() if task.is_annotated(annotations)}


def task_of_loss(name: str) -> Task:
    """The task that owns a loss, or a part of one. Raises `KeyError` for a loss that no task claims."""
    for task in TASKS.values():
        if declared_loss(name, task.losses) in task.losses:
            return task
    raise KeyError(f"no task owns the loss {name!r}; add it to the losses of its task")
