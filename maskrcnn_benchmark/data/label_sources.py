"""Where the labels of added tasks come from: a table of functions that the data sets of this folder ask."""

import copy

# {key of a task that `tasks.register_task` added: source}. A source is called with a data set when that is
# opened, and returns what reads its labels, a function (data set, index) -> label or None for "nobody looked at this
# image", or None where the data set has none. What a label is, `ImageAnnotations` says under `labels`.
LABEL_SOURCES = {}


def open_label_sources(dataset, tasks):
    """What reads the labels of added tasks from a data set: {task key: function (data set, index) -> label or None}.

    Args:
        dataset: it has its `root`, `ids` and whatever else `get_img_info` needs.
        tasks: task keys that are wanted; None wants all.
    """
    readers = {key: source(dataset) for key, source in LABEL_SOURCES.items() if tasks is None or key in tasks}
    return {key: reader for key, reader in readers.items() if reader is not None}


def further_labels(dataset, index):
    """{task key: label} of those added tasks, wanted of this data set, that an image is annotated for.

    Args:
        dataset: with the attributes `label_readers`, as `open_label_sources` returned them, and `tasks`.
        index: of the image.
    """
    labels = {key: read(dataset, index) for key, read in dataset.label_readers.items() if key in dataset.tasks}
    return {key: label for key, label in labels.items() if label is not None}


def read_annotations(dataset, index, tasks):
    """`ImageAnnotations` of an image for other tasks than the data set was opened for, to make a label from.

    Args:
        dataset: a data set of this folder.
        index: of the image.
        tasks: keys of the tasks of this package that are needed.
    """
    view = copy.copy(dataset)
    view.tasks = frozenset(tasks)
    return view.get_annotations(index)
