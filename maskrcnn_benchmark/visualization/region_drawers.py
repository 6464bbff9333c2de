"""Drawings of the tasks with one answer per object: boxes, masks, joints and parts."""

import numpy as np
import torch

from maskrcnn_benchmark.layers.mask_paste import paste_masks, paste_parts
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.visualization.canvas import (
    Canvas,
    enlarge_labels,
    enlarge_mask,
    message_panel,
    window_of,
)
from maskrcnn_benchmark.visualization.palette import LEFT_SIDE, MIDDLE, RIGHT_SIDE, class_colours, part_colours

SCORE_SHOWN = 0.5  # predicted objects below this score are left out unless another is asked for, ...
OBJECTS_SHOWN = 40  # ... and all but the best so many


def draw_detection(image, answer, vocabulary, threshold=SCORE_SHOWN, scale=None):
    """Boxes with class names and, of predictions, scores.

    Args (the same for every drawer of this package):
        image: uint8 [H, W, 3] RGB.
        answer: `ImageAnnotations` (the truth) or `ImagePrediction`, of the size of the image.
        vocabulary: `Vocabulary` that names the answer's labels.
        threshold: least score of a predicted object, strength of a predicted edge or probability of a predicted label
            to be shown as found; annotations are shown whatever it is.
        scale: pixels of the picture per pixel of the image; None makes the picture legible (`canvas_scale`).
    Returns:
        uint8 [h, w, 3] RGB, the image's size times `scale`; a grey panel where the task has no answer.

    Beside `draw_TASK`, which makes a picture, `paint_TASK` paints on a `Canvas` that may show other tasks, too.
    """
    if answer.instances is None:
        return missing_panel(image, answer, scale)
    canvas = Canvas(image, scale=scale)
    found = paint_detection(canvas, answer, vocabulary, threshold)
    _note_if_none(canvas, found, answer, threshold)
    return canvas.finish()


def paint_detection(canvas, answer, vocabulary, threshold=SCORE_SHOWN, below=None):
    """Draw boxes with names, only those of scores below `below` if that is given; returns how many there are."""
    objects = _shown(answer.instances, threshold)
    if below is not None and objects.has_field("scores"):
        objects = objects[objects.get_field("scores") < below]
    names, colours = _names_and_colours(objects, vocabulary)
    corners = _canvas_boxes(objects, canvas).numpy()
    for (left, top, right, bottom), colour in zip(corners, colours):
        canvas.polyline([(left, top), (right, top), (right, bottom), (left, bottom)], colour, closed=True)
    for name, box, colour in zip(_with_scores(names, objects), corners, colours):
        canvas.label(name, _tag_spots(box, canvas), colour)
    return len(objects)


def draw_instance(image, answer, vocabulary, threshold=SCORE_SHOWN, scale=None):
    """Object masks, filled and outlined in the colour of the class, with names. Arguments as in `draw_detection`."""
    if answer.instances is None or not _has_masks(answer):
        return missing_panel(image, answer, scale)
    canvas = Canvas(image, scale=scale)
    found = paint_instance(canvas, answer, vocabulary, threshold)
    _note_if_none(canvas, found, answer, threshold)
    return canvas.finish()


def paint_instance(canvas, answer, vocabulary, threshold=SCORE_SHOWN, scores=False):
    """Fill and outline masks, the largest first, and name them in their middle or, with scores, on their top.

    Returns how many objects there are.
    """
    objects = _shown(answer.instances, threshold)
    words, colours = _names_and_colours(objects, vocabulary)
    masks = _canvas_masks(objects, canvas, isinstance(answer, ImagePrediction))
    for i in sorted(range(len(masks)), key=lambda i: -np.count_nonzero(masks[i])):
        canvas.tint(masks[i], colours[i], 0.5)
        canvas.outline(masks[i], colours[i])
    if scores:
        words = _with_scores(words, objects)
    for word, mask, colour in zip(words, masks, colours):
        if scores and mask.any():
            canvas.label(word, _top_spots(mask, canvas), colour)
        elif mask.any():
            canvas.label_centred(word, _middle(mask), colour)
    return len(objects)


def draw_keypoint(image, answer, vocabulary, threshold=SCORE_SHOWN, scale=None):
    """Skeletons, a person's left blue and right orange, occluded joints hollow. Arguments as in `draw_detection`."""
    if _people(answer, vocabulary) is None or vocabulary.joints is None:
        return missing_panel(image, answer, scale)
    canvas = Canvas(image, fade=0.25, scale=scale)
    found = paint_keypoint(canvas, answer, vocabulary, threshold)
    _note_if_none(canvas, found, answer, threshold)
    return canvas.finish()


def paint_keypoint(canvas, answer, vocabulary, threshold=SCORE_SHOWN, scores=True):
    """Draw skeletons and, of predictions, their scores if asked; returns how many people there are."""
    predicted = isinstance(answer, ImagePrediction)
    people, joints = _shown(_people(answer, vocabulary), threshold), vocabulary.joints
    if len(people):
        records = people.get_field("keypoints").keypoints.detach().cpu().numpy()
        sides = [_side_colour(name) for name in joints.names]
        for record in records:
            _draw_skeleton(canvas, record, joints, sides, None if predicted else occluded_code(joints))
    if predicted and scores:
        for box, score in zip(_canvas_boxes(people, canvas).numpy(), people.get_field("scores").tolist()):
            canvas.label(f"{score:.2f}", _tag_spots(box, canvas), (245, 246, 248))
    return len(people)


def draw_part(image, answer, vocabulary, threshold=SCORE_SHOWN, scale=None):
    """Parts of all objects over the image in grey, with a legend. Arguments as in `draw_detection`."""
    canvas = Canvas(image, fade=0.25, grey=True, scale=scale)
    if vocabulary.parts is None or not has_parts(answer):
        return missing_panel(image, answer, scale)
    found = paint_part(canvas, answer, vocabulary, threshold)
    if not found:
        canvas.note("no part found" if isinstance(answer, ImagePrediction) else "no part")
    return canvas.finish()


def paint_part(canvas, answer, vocabulary, threshold=SCORE_SHOWN, strength=0.75):
    """Tint parts, set them off from one another and write a legend; returns how many kinds of them there are."""
    if isinstance(answer, ImagePrediction):
        labels = _predicted_part_map(answer, canvas, threshold)
    else:
        labels = _true_part_map(answer, canvas)
    colours = part_colours(vocabulary)
    counts = np.bincount(labels.ravel(), minlength=len(colours))
    present = [k for k in range(1, len(colours)) if counts[k]]
    canvas.tint_labels(labels, {k: colours[k] for k in present}, strength)
    canvas.separate(labels)
    largest = sorted(sorted(present, key=lambda k: -counts[k])[:12])
    canvas.legend([(vocabulary.parts.labels[k - 1].replace("_", " "), colours[k]) for k in largest])
    return len(present)


def missing_panel(image, answer, scale=None):
    """The grey panel of a task without an answer: nobody annotated it, or no head predicts it."""
    words = "not predicted" if isinstance(answer, ImagePrediction) else "not annotated"
    return message_panel(image, words, scale)


def _shown(objects, threshold):
    """Predicted objects worth drawing, best first; annotated ones all."""
    if not objects.has_field("scores"):
        return objects
    scores = objects.get_field("scores")
    order = scores.argsort(descending=True)[:OBJECTS_SHOWN]
    return objects[order[scores[order] >= threshold]]


def _note_if_none(canvas, found, answer, threshold):
    if not found:
        predicted = isinstance(answer, ImagePrediction)
        canvas.note(f"none above score {threshold:g}" if predicted else "none in this image")


def _names_and_colours(objects, vocabulary):
    colours = class_colours(vocabulary)
    names = [vocabulary.thing_names[k - 1] for k in objects.get_field("labels").tolist()]
    return names, [colours[name] for name in names]


def _with_scores(names, objects):
    if not objects.has_field("scores"):
        return names
    return [f"{name} {score:.2f}" for name, score in zip(names, objects.get_field("scores").tolist())]


def _canvas_boxes(objects, canvas):
    """Corners of inclusive boxes on the canvas, float [N, 4]: from the first pixel's outer edge to the last's."""
    boxes = objects.convert("xyxy").bbox.detach().float().cpu()
    return (boxes + torch.tensor([0.0, 0.0, 1.0, 1.0])) * canvas.scale - torch.tensor([0.0, 0.0, 1.0, 1.0])


def _tag_spots(box, canvas):
    """Where a box's name may stand, (left, bottom) each: on it, in it, under it, at its right."""
    left, top, right, bottom = box
    tag = canvas.text_size * 1.3
    inside = [(left, top + tag * k) for k in (1, 2, 3)]
    return [(left, top), *inside, (left, bottom + tag), (left, bottom), (right, top + tag), (right, bottom)]


def _has_masks(answer):
    return answer.instances.has_field("mask" if isinstance(answer, ImagePrediction) else "masks")


def _canvas_masks(objects, canvas, predicted):
    """Masks at canvas size, list of bool [h, w]."""
    if not len(objects):
        return []
    if predicted:
        masks = objects.get_field("mask")
        if tuple(masks.shape[-2:]) == objects.size[::-1]:  # in the image already, not within the boxes
            return [enlarge_mask((mask[0] > 0.5).cpu().numpy(), canvas.size) for mask in masks]
        boxes = _canvas_boxes(objects, canvas)
        return list(paste_masks(masks.float().cpu(), boxes, canvas.size, 0.5, 1).numpy())
    masks = objects.get_field("masks").get_mask_tensor().cpu().numpy()
    return [enlarge_mask(mask, canvas.size) for mask in masks.reshape(-1, *masks.shape[-2:])]


def _middle(mask):
    """The mask's pixel next to its centre of mass, (x, y): a ring's name stands on the ring."""
    window = window_of(mask)
    rows, columns = np.nonzero(mask[window])
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return columns[nearest] + window[1].start, rows[nearest] + window[0].start


def _top_spots(mask, canvas):
    """Where a mask's name may stand, (left, bottom) each: on its topmost pixels, or inside, as `_tag_spots`."""
    rows, columns = window_of(mask)
    highest = columns.start + np.flatnonzero(mask[rows.start, columns])
    x, tag = highest[len(highest) // 2] - canvas.text_size, canvas.text_size * 1.3
    over = [(x, rows.start - canvas.line), (x - 2 * tag, rows.start - canvas.line), (x, rows.start - tag)]
    return [*over, *((x, rows.start + tag * k) for k in (1, 2, 3, 4)), (columns.start, rows.stop + tag)]


def _people(answer, vocabulary):
    """The people whose joints are known or predicted, or None."""
    return _predicted_people(answer, vocabulary) if isinstance(answer, ImagePrediction) else answer.people


def _predicted_people(answer, vocabulary):
    """The predicted boxes of people, or None where no keypoint head ran."""
    if answer.instances is None or not answer.instances.has_field("keypoints"):
        return None
    if "person" not in vocabulary.thing_names:
        return answer.instances
    person = vocabulary.thing_names.index("person") + 1
    return answer.instances[torch.nonzero(answer.instances.get_field("labels") == person).squeeze(1)]


def _side_colour(joint):
    if joint.startswith("r"):
        return RIGHT_SIDE
    return LEFT_SIDE if joint.startswith("l") else MIDDLE


def occluded_code(joints):
    """The visibility code of a joint that is there but cannot be seen: Detail's 2 is COCO's 1."""
    return 1 if joints.name.startswith("coco") else 2


def _draw_skeleton(canvas, record, joints, sides, occluded_code):
    """Draw one person's joints [K, 3]; a bone is there where both its ends are."""
    spots, visibility = canvas.place(record[:, :2]), record[:, 2]
    for a, b in joints.skeleton:
        if visibility[a] > 0 and visibility[b] > 0:
            side = sides[b] if sides[b] != MIDDLE else sides[a]
            canvas.polyline(spots[[a, b]], side, canvas.line + 1)
    for spot, state, side in zip(spots, visibility, sides):
        if state > 0:
            canvas.dot(spot, side, canvas.line * 5 // 2, hollow=state == occluded_code)


def has_parts(answer):
    """Whether anybody annotated or predicted parts."""
    if isinstance(answer, ImagePrediction) and answer.part_map is not None:
        return True
    if answer.instances is None or not answer.instances.has_field("parts"):
        return False
    return isinstance(answer, ImagePrediction) or bool(answer.instances.get_field("parts").annotated.any())


def _true_part_map(answer, canvas):
    """The annotated part labels of all objects, [h, w]."""
    parts = answer.instances.get_field("parts")
    # An object's label map is 0 beyond its outline, so the largest label is that of the object which holds the pixel
    return enlarge_labels(parts.labels[parts.annotated].amax(0).cpu().numpy(), canvas.size)


def _predicted_part_map(answer, canvas, threshold):
    """Predicted part labels [h, w] of the whole-image head or of the region head."""
    if answer.part_map is not None:
        return answer.part_map.resize(canvas.size).labels.cpu().numpy()
    objects = _shown(answer.instances, threshold)
    parts, scores = objects.get_field("parts").float().cpu(), objects.get_field("scores").cpu()
    return paste_parts(parts, _canvas_boxes(objects, canvas), scores, canvas.size).numpy()
