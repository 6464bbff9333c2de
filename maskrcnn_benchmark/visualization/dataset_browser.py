"""The part of a data set's page in which one leafs through images with every task's annotation drawn."""

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from maskrcnn_benchmark.data.statistics import class_names, count_image
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.html_page import encoded, legend

if TYPE_CHECKING:
    from maskrcnn_benchmark.tasks.task import Task

# (longest side in pixels, quality of JPEG), tried in turn until an image's pictures are small enough
FILE_SIZES = ((1000, 85), (900, 78), (760, 72), (640, 66), (520, 60), (420, 52), (320, 45), (240, 35), (160, 25))
THUMBNAIL = (132, 99)
THUMBNAIL_QUALITY = 72


@dataclass(frozen=True)
class Sample:
    """One image, drawn.

    Attributes:
        name: what the image is called; phase: its phase, or "".
        size: (width, height) in pixels.
        classes: indices into `class_names` of those that it shows.
        facts: list of (name, text).
        thumbnail: bytes of a JPEG file.
        pictures: {"image" or task key: bytes of a JPEG file}; a task that nobody annotated is absent.
    """

    name: str
    phase: str
    size: tuple
    classes: tuple
    facts: list
    thumbnail: bytes
    pictures: dict


def draw_sample(
    image: np.ndarray,
    annotations: ImageAnnotations,
    vocabulary: Vocabulary,
    tasks: "Sequence[Task]",
    name: str,
    phase: str | None = "",
    budget: int = 600_000,
) -> Sample:
    """Draw one image for the page: `Sample`.

    Args:
        image: uint8 [H, W, 3] RGB.
        annotations: `ImageAnnotations` of its size.
        vocabulary: `Vocabulary` that names its labels.
        tasks: those to draw, as far as the image is annotated for them.
        name, phase: what the image and its phase are called.
        budget: bytes that all pictures together should not exceed; they lose sharpness and then size to meet it.
    """
    image_counts = count_image(annotations, vocabulary, tasks)
    counts = {task: image_counts.counts[task.key] for task in tasks if task.key in image_counts.counts}
    pictures = {"image": Canvas(image).finish()}
    pictures.update({task.key: task.draw(image, annotations, vocabulary) for task in counts})
    return Sample(
        name,
        phase or "",
        image_counts.size,
        image_counts.classes,
        [fact for task, count in counts.items() if count for fact in task.facts(count, vocabulary)],
        encoded(_thumbnail(image), "JPEG", THUMBNAIL_QUALITY),
        _files_within(pictures, budget),
    )


def browser(
    samples: Sequence[Sample], vocabulary: Vocabulary, tasks: "Sequence[Task]", drawn_without_images: bool
) -> str:
    """HTML of the section. `SCRIPT` brings it to life.

    Args:
        samples: list of `Sample`.
        vocabulary: `Vocabulary` of their data set.
        tasks: those that were drawn.
        drawn_without_images: whether the images themselves were not at hand.
    """
    if not samples:
        return '<section id="images"><h2>Images</h2><p class="empty">No image was drawn.</p></section>'
    index = [
        {
            "name": sample.name,
            "phase": sample.phase,
            "size": list(sample.size),
            "classes": list(sample.classes),
            "tasks": [task.key for task in tasks if task.key in sample.pictures],
            "facts": sample.facts,
            "thumb": _base64(sample.thumbnail),
        }
        for sample in samples
    ]
    titles = {"image": "image", **{task.key: task.title for task in tasks}}
    data = [_data("samples", {"samples": index, "titles": titles})]
    data += [
        _data(f"sample-{number}", {key: _base64(file) for key, file in sample.pictures.items()})
        for number, sample in enumerate(samples)
    ]
    note = " The images themselves were not at hand: grey stands for them." if drawn_without_images else ""
    page = BODY.format(
        note=note,
        last_key=min(9, len(tasks)),
        task_options=_options([(task.key, task.title, _number(samples, task.key)) for task in tasks]),
        class_options=_options(_class_entries(samples, vocabulary)),
        phase_options=_options(_phase_entries(samples)),
        hide_phases="" if len(_phase_entries(samples)) > 1 else "hidden",
        legend=legend(vocabulary, tasks),
    )
    return page + "\n".join(data)


def _thumbnail(image):
    """The middle of the image in `THUMBNAIL`'s proportions and twice its size, for sharp screens."""
    height, width = image.shape[:2]
    scale = max(2 * THUMBNAIL[0] / width, 2 * THUMBNAIL[1] / height)
    size = [max(round(side * scale), 2 * least) for side, least in zip((width, height), THUMBNAIL)]
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (size[0] - 2 * THUMBNAIL[0]) // 2, (size[1] - 2 * THUMBNAIL[1]) // 2
    return np.ascontiguousarray(resized[top : top + 2 * THUMBNAIL[1], left : left + 2 * THUMBNAIL[0]])


def _files_within(pictures, budget):
    for longest, quality in FILE_SIZES:
        files = {key: encoded(_at_most(picture, longest), "JPEG", quality) for key, picture in pictures.items()}
        if sum(map(len, files.values())) <= budget:
            break
    return files


def _at_most(picture, longest):
    height, width = picture.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _number(samples, task):
    return sum(task in sample.pictures for sample in samples)


def _class_entries(samples, vocabulary):
    numbers = np.bincount([k for sample in samples for k in sample.classes], minlength=1)
    entries = [(k, name, numbers[k]) for k, name in enumerate(class_names(vocabulary)) if k < len(numbers)]
    return sorted((entry for entry in entries if entry[2]), key=lambda entry: entry[1])


def _phase_entries(samples):
    phases = [sample.phase for sample in samples if sample.phase]
    return [(phase, phase, phases.count(phase)) for phase in dict.fromkeys(phases)]


def _options(entries):
    options = ""
    for value, name, number in entries:
        disabled = "" if number else " disabled"
        options += f'<option value="{html.escape(str(value))}"{disabled}>{html.escape(name)} ({number})</option>'
    return options


def _base64(data):
    return base64.b64encode(data).decode()


def _data(name, tree):
    """JSON that a script finds under an id. No "<" stays in it, so that no text can end the element."""
    text = json.dumps(tree, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


BODY = """<section id="images">
<h2>Images</h2>
<p class="lead">Evenly spread over the data set.{note} Arrow keys lead to the next
image, 0 to {last_key} to one drawing, a to all of them; a click enlarges.</p>
<noscript><p class="empty">Leafing through the images needs JavaScript.</p></noscript>
<div class="controls">
<label>task <select id="by-task"><option value="">any</option>{task_options}</select></label>
<label>class <select id="by-class"><option value="">any</option>{class_options}</select></label>
<label {hide_phases}>phase <select id="by-phase"><option value="">any</option>{phase_options}</select></label>
<button id="clear" type="button" hidden>show all</button>
<span id="number" aria-live="polite"></span>
</div>
<div class="strip" id="strip"></div>
<p class="empty" id="no-image" hidden>No image of the sample has both: choose another class, task or phase.</p>
<div id="viewer">
<div class="bar-of-viewer">
<button id="previous" type="button" aria-label="previous image">&#8249;</button>
<div class="name"><b id="name"></b><span id="about"></span></div>
<button id="next" type="button" aria-label="next image">&#8250;</button>
</div>
<div class="tabs" id="tabs" role="tablist"></div>
<div class="stage">
<div id="stage"></div>
<dl id="facts"></dl>
</div>
</div>
<details class="colours"><summary>What the colours mean</summary>{legend}</details>
</section>
"""
STYLE = """
.controls { display: flex; flex-wrap: wrap; gap: .5rem 1.1rem; align-items: center; margin: .25rem 0 .75rem; }
.controls label { color: var(--soft); font-size: .9rem; }
.controls label[hidden] { display: none; }
.controls select { max-width: 60vw; }
select, button { font: inherit; color: var(--ink); background: var(--ground); border: 1px solid var(--line);
  border-radius: 7px; padding: .2rem .5rem; }
button { cursor: pointer; }
button:hover { border-color: var(--soft); }
#number { color: var(--soft); font-size: .9rem; margin-left: auto; }
.strip { display: flex; gap: 6px; overflow-x: auto; padding: 3px 3px 10px; scrollbar-width: thin; }
.strip button { flex: none; padding: 0; border: 0; border-radius: 6px; line-height: 0; background: none; opacity: .75; }
.strip button:hover { opacity: 1; }
.strip button[aria-current] { outline: 3px solid var(--accent); opacity: 1; }
.strip img { width: 92px; height: 69px; object-fit: cover; cursor: pointer; outline: 0; }
.bar-of-viewer { display: flex; gap: .75rem; align-items: center; margin: .5rem 0; }
.bar-of-viewer button { font-size: 1.5rem; line-height: 1; padding: .25rem .85rem .4rem; }
.bar-of-viewer .name { flex: 1; min-width: 0; text-align: center; overflow-wrap: anywhere; line-height: 1.3; }
.bar-of-viewer span { display: block; color: var(--soft); font-size: .85rem; }
.tabs { display: flex; flex-wrap: wrap; gap: 4px; margin-bottom: .75rem; }
.tabs button { font-size: .85rem; }
.tabs button[aria-selected="true"] { background: var(--accent); border-color: var(--accent); color: #fff; }
.tabs button.absent { color: var(--soft); border-style: dashed; opacity: .7; }
.tabs button.absent[aria-selected="true"] { background: var(--soft); border-color: var(--soft); color: var(--card);
  opacity: 1; }
details.colours { margin-top: 1rem; }
details.colours summary { cursor: pointer; color: var(--soft); }
.stage { display: grid; grid-template-columns: minmax(0, 1fr) 250px; gap: 1.25rem; align-items: start; }
#stage figure { margin: 0; min-width: 0; }
#stage figcaption { font-size: .85rem; color: var(--soft); margin-bottom: .25rem; }
#stage.all { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(46%, 255px), 1fr)); gap: .9rem; }
#stage.one img { margin: 0 auto; }
.nothing { display: grid; place-items: center; border: 1px dashed var(--line); border-radius: 6px; color: var(--soft);
  font-size: .9rem; }
#stage.one .nothing { min-height: min(60vh, 420px); }
dl#facts { grid-template-columns: max-content minmax(0, 1fr); font-size: .85rem; gap: .35rem .8rem; }
dl#facts dd { overflow-wrap: anywhere; }
@media (max-width: 900px) { .stage { grid-template-columns: minmax(0, 1fr); } }
"""
SCRIPT = """
const section = document.getElementById("images"), found = id => document.getElementById(id);
if (found("samples")) {
  const { samples, titles } = JSON.parse(found("samples").textContent), keys = Object.keys(titles);
  const make = (tag, words = "", kind = "") => {
    const element = document.createElement(tag);
    element.textContent = words;
    if (kind) element.className = kind;
    return element;
  };
  const picture = data => { const img = new Image(); img.src = "data:image/jpeg;base64," + data; return img; };
  const opened = new Map();  // what an image's pictures are is read when it is first shown
  const pictures = i => {
    if (!opened.has(i)) opened.set(i, JSON.parse(found("sample-" + i).textContent));
    return opened.get(i);
  };
  const drawn = keys.filter(key => key === "image" || samples.some(sample => sample.tasks.includes(key)));
  let shown = samples.map((_, i) => i), at = 0, tab = "all";

  const thumbs = samples.map((sample, i) => {
    const button = make("button"), img = picture(sample.thumb);
    img.alt = button.title = sample.name;
    button.type = "button";
    button.append(img);
    button.onclick = () => go(shown.indexOf(i));
    found("strip").append(button);
    return button;
  });
  const tabs = ["all", ...keys].map(key => {
    const button = make("button", key === "all" ? "all" : titles[key]);
    button.type = "button";
    button.setAttribute("role", "tab");
    button.onclick = () => { tab = key; show(); };
    found("tabs").append(button);
    return [key, button];
  });

  function panel(i, key) {
    const figure = make("figure"), data = pictures(i)[key], [width, height] = samples[i].size;
    figure.append(make("figcaption", titles[key]));
    if (data) {
      const img = picture(data);
      img.alt = samples[i].name + ", " + titles[key];
      img.onclick = () => enlarge(img);
      if (tab !== "all") img.style.width = `min(100%, 900px, ${82 * width / height}vh)`;
      figure.append(img);
    } else {
      const nothing = make("div", "not annotated", "nothing");
      nothing.style.aspectRatio = width + " / " + height;
      figure.append(nothing);
    }
    return figure;
  }
  function show() {
    const empty = !shown.length;
    found("viewer").hidden = empty;
    found("no-image").hidden = !empty;
    found("number").textContent = shown.length === samples.length ? samples.length + " images"
      : shown.length + " of " + samples.length + " images";
    thumbs.forEach((button, i) => {
      button.hidden = !shown.includes(i);
      button.toggleAttribute("aria-current", shown[at] === i);
    });
    if (empty) return;
    const i = shown[at], sample = samples[i];
    const thumb = thumbs[i], strip = found("strip");
    strip.scrollLeft = thumb.offsetLeft - strip.offsetLeft - (strip.clientWidth - thumb.clientWidth) / 2;
    found("name").textContent = sample.name;
    found("about").textContent = [`${at + 1} of ${shown.length}`, sample.size.join(" x ") + " px", sample.phase]
      .filter(Boolean).join(" · ");
    for (const [key, button] of tabs) {
      button.setAttribute("aria-selected", key === tab);
      button.classList.toggle("absent", key !== "all" && key !== "image" && !sample.tasks.includes(key));
    }
    found("stage").className = tab === "all" ? "all" : "one";
    found("stage").replaceChildren(...(tab === "all" ? drawn : [tab]).map(key => panel(i, key)));
    found("facts").replaceChildren(...sample.facts.flatMap(([name, text]) => [make("dt", name), make("dd", text)]));
  }
  function go(place) {
    if (!shown.length) return;
    at = (place + shown.length) % shown.length;
    show();
  }
  function filter() {
    const [task, label, phase] = ["by-task", "by-class", "by-phase"].map(id => found(id).value), current = shown[at];
    shown = samples.map((_, i) => i).filter(i =>
      (!task || samples[i].tasks.includes(task)) && (!phase || samples[i].phase === phase)
      && (!label || samples[i].classes.includes(Number(label))));
    at = Math.max(shown.indexOf(current), 0);
    found("clear").hidden = !(task || label || phase);
    show();
  }
  ["by-task", "by-class", "by-phase"].forEach(id => found(id).onchange = filter);
  found("clear").onclick = () => {
    ["by-task", "by-class", "by-phase"].forEach(id => found(id).value = "");
    filter();
  };
  found("previous").onclick = () => go(at - 1);
  found("next").onclick = () => go(at + 1);
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
    if (view.open) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) { event.preventDefault(); go(at + step); }
    if (/^[0-9]$/.test(event.key) && Number(event.key) < keys.length) { tab = keys[Number(event.key)]; show(); }
    if (event.key === "a") { tab = "all"; show(); }
  });
  document.querySelectorAll("a[data-class]").forEach(link => link.onclick = () => {
    found("by-class").value = link.dataset.class;
    if (found("by-class").value !== link.dataset.class) found("by-class").value = "";  // not in the sample
    filter();
  });
  show();
}
"""
