"""The demo's HTML: pictures, tables, messages. Plain text in, escaped text out; no script and no address of the net."""

import html
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from maskrcnn_benchmark.demo.session import Shown, View
from maskrcnn_benchmark.predict.trained_network import TrainedNetwork
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.text import counted
from maskrcnn_benchmark.visualization.html_page import embedded
from maskrcnn_benchmark.visualization.palette import class_colours

ROWS_SHOWN = 50


def header(network: TrainedNetwork, tasks: Sequence[str]) -> str:
    """What is loaded: the file's name, its tasks, the device. `network` is a `TrainedNetwork`."""
    facts = (
        ("checkpoint", network.path.rpartition("/")[2]),
        ("tasks", str(len(tasks))),
        ("device", network.cfg.MODEL.DEVICE),
    )
    items = "".join(f"<span><dt>{name}</dt><dd>{html.escape(value)}</dd></span>" for name, value in facts)
    return f"<header><h1>One network, {counted(len(tasks), 'task')}</h1><dl>{items}</dl></header>"


def upload() -> str:
    """The place for an image to be dropped or chosen: the input takes drops itself, for it covers the place."""
    return (
        '<label class="upload"><input type="file" accept="image/*" aria-label="Image">'
        "<span>Drop, paste or choose an image</span></label>"
    )


def samples(thumbnails: Iterable[tuple[str, bytes]]) -> str:
    """Buttons, one per sample: list of (name, JPEG bytes)."""
    buttons = [
        f'<button type="button" data-index="{index}" aria-label="sample {index + 1}: {html.escape(name)}">'
        f"{embedded(data, 'jpeg', '')}</button>"
        for index, (name, data) in enumerate(thumbnails)
    ]
    return f'<h2>Samples</h2><div class="samples">{"".join(buttons)}</div>'


def message(sentence: str, kind: str = "error") -> str:
    """A sentence for the user, which screen readers say at once; kind "error" or "note"."""
    if not sentence:
        return ""
    role = "alert" if kind == "error" else "status"
    return f'<p class="message {kind}" role="{role}">{html.escape(sentence)}</p>'


def welcome() -> str:
    """What stands in the place of pictures before there is one."""
    return '<p class="welcome">Pick a sample, or drop, paste or choose an image.</p>'


def summary(shown: Shown, passes: int) -> str:
    """A line about an image: name, size, time of its forward pass; `passes` is how often the network was run so far."""
    width, height = shown.predicted.size
    often = f"the network was run {counted(passes, 'time')} since the start"
    return (
        f'<p class="summary"><b>{html.escape(shown.predicted.name)}</b><span>{width}×{height}</span>'
        f'<span data-passes="{passes}" title="{often}">forward pass {shown.seconds * 1000:.0f} ms</span></p>'
    )


def pictures(panels: Mapping[str, bytes], descriptions: Mapping[str, str]) -> str:
    """Pictures that grow at a click.

    Args:
        panels: {task key, or another title: JPEG bytes}.
        descriptions: {task key: what its picture shows, in words}.
    """
    shown = []
    for task, data in panels.items():
        title = TASKS[task].title if task in TASKS else task
        picture = embedded(data, "jpeg", f"{title}: {descriptions.get(task, '')}".strip(": "))
        button = f'<button type="button" aria-label="enlarge {html.escape(title)}">{picture}</button>'
        shown.append(f'<figure data-task="{task}"><figcaption>{html.escape(title)}</figcaption>{button}</figure>')
    return f'<div class="panels">{"".join(shown)}</div>'


def objects_table(objects: list[tuple] | None, vocabulary: Vocabulary) -> str:
    """The detected objects, rows of `Shown.objects`."""
    if objects is None:
        return ""
    colours = class_colours(vocabulary)
    rows = [
        f"<tr><th scope=row>{_swatch(colours[name])}{html.escape(name)}</th><td>{_bar(score, colours[name])}</td>"
        + "".join(f"<td class=number>{value:.0f}</td>" for value in box)
        + "</tr>"
        for name, score, box in objects[:ROWS_SHOWN]
    ]
    more = f"<p>and {len(objects) - ROWS_SHOWN} more, in the JSON</p>" if len(objects) > ROWS_SHOWN else ""
    if not rows:
        return "<section><h2>Objects</h2><p>None reaches the threshold of detection.</p></section>"
    heads = "".join(f"<th scope=col>{name}</th>" for name in ("class", "score", "x1", "y1", "x2", "y2"))
    return (
        f"<section><h2>{counted(len(objects), 'object')}</h2><div class=wide><table class=objects>"
        f"<caption>boxes in pixels of the image, best first</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{more}</section>"
    )


def labels_table(labels: list[tuple[str, float]] | None, vocabulary: Vocabulary) -> str:
    """The image labels, rows of `Shown.labels`."""
    if labels is None:
        return ""
    colours = class_colours(vocabulary)
    rows = [
        f"<tr><th scope=row>{_swatch(colours[name])}{html.escape(name)}</th><td>{_bar(value, colours[name])}</td></tr>"
        for name, value in labels[:ROWS_SHOWN]
    ]
    body = (
        f"<table class=labels><tbody>{''.join(rows)}</tbody></table>" if rows else "<p>None reaches its threshold.</p>"
    )
    return f"<section><h2>{counted(len(labels), 'image label')}</h2>{body}</section>"


def downloads(token: str, version: int) -> str:
    """Links to the picture and the JSON of an image; `version` keeps browsers from taking an older picture."""
    return (
        f'<nav aria-label="downloads"><a href="answers/{token}/picture.png?{version}" download>Download picture</a>'
        f'<a href="answers/{token}/answers.json" download>Download JSON</a></nav>'
    )


def describe(shown: Shown, view: View) -> dict[str, str]:
    """{title of a picture: what it shows, in words} for those who cannot see it."""
    words = {}
    if view.layout == "scene":
        words["scene"] = "; ".join(map(str, shown.predicted.scene))
    objects, labels = shown.objects(view), shown.labels(view)
    if objects is not None:
        words["detection"] = words["overlay"] = _listed(objects)
    if labels is not None:
        words["classification"] = _listed(labels)
    if shown.predicted.semantic is not None:
        names = shown.predicted.vocabulary.semantic_names
        present = np.unique(shown.predicted.semantic.numpy())
        words["semantic"] = ", ".join(names[k] for k in present.tolist() if k < len(names))
    return words


def _listed(rows):
    return ", ".join(f"{row[0]} {row[1]:.2f}" for row in rows[:10]) or "none"


def _swatch(colour):
    return f'<i style="background:rgb{tuple(int(c) for c in colour)}"></i>'


def _bar(value, colour):
    return f'<span class=bar style="--part:{value:.3f};--colour:rgb{tuple(int(c) for c in colour)}">{value:.2f}</span>'
