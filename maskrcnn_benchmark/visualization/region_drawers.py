"""Drawings of the tasks with one answer per object: boxes, masks, joints and parts."""

import numpy as np
import torch

from maskrcnn_benchmark.layers.mask_paste import paste_masks, paste_parts
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.visualization.canvas import Canvas, enlarge_labels, enlarge_mask, message_panel
from maskrcnn_benchmark.visualization.palette import LEFT_SIDE, MIDDLE, RIGHT_SIDE, class_colours, part_colours

SCORE_SHOWN = 0.5  # predicted objects below this score are left out unless another is asked for, ...
OBJECTS_SHOWN = 40  # ... and all but the best so many


def draw_detection(image, answer, vocabulary, threshold=SCORE_SHOWN):
    """Boxes with class names and, of predictions, scores.

    Args (the same for every drawer of this package):
        image: uint8 [H, W, 3] RGB.
        answer: `ImageAnnotations` (the truth) or `ImagePrediction`, of the size of the image.
        vocabulary: `Vocabulary` that names the answer's labels.
        threshold: least score of a predicted object, strength of a predicted edge or probability of a predicted label
            to be shown as found; annotations are shown whatever it is.
    Returns:
        uint8 [h, w, 3] RGB, the image's size times `canvas_scale`; a grey panel where the task has no answer.
    """
    if answer.instances is None:
        return missing_panel(image, answer)
    objects = _shown(answer.instances, threshold)
    canvas = Canvas(image)
    names, colours = _names_and_colours(objects, vocabulary)
    boxes = _canvas_boxes(objects, canvas).numpy()
    for box, colour in zip(boxes, colours):
        left, top, right, bottom = box
        canvas.polyline([(left, top), (right, top), (right, bottom), (left, bottom)], colour, closed=True)
    for name, box, colour in zip(_with_scores(names, objects), boxes, colours):
        canvas.label(name, _tag_spots(box, canvas), colour)
    _note_if_none(canvas, objects, answer, threshold)
    return canvas.finish()


def draw_instance(image, answer, vocabulary, threshold=SCORE_SHOWN):
    """Object masks, filled and outlined in the colour of the class, with names. Arguments as in `draw_detection`."""
    if answer.instances is None or not _has_masks(answer):
        return missing_panel(image, answer)
    objects = _shown(answer.instances, threshold)
    canvas = Canvas(image)
    names, colours = _names_and_colours(objects, vocabulary)
    masks = _canvas_masks(objects, canvas, isinstance(answer, ImagePrediction))
    for i in sorted(range(len(masks)), key=lambda i: -masks[i].sum()):
        canvas.tint(masks[i], colours[i], 0.5)
        canvas.outline(masks[i], colours[i])
    for name, mask, colour in zip(names, masks, colours):
        if mask.any():
            canvas.label_centred(name, _middle(mask), colour)
    _note_if_none(canvas, objects, answer, threshold)
    return canvas.finish()


def draw_keypoint(image, answer, vocabulary, threshold=SCORE_SHOWN):
    """Skeletons, a person's left blue and right orange, occluded joints hollow. Arguments as in `draw_detection`."""
    predicted = isinstance(answer, ImagePrediction)
    people = _predicted_people(answer, vocabulary) if predicted else answer.people
    if people is None or vocabulary.joints is None:
        return missing_panel(image, answer)
    people, joints = _shown(people, threshold), vocabulary.joints
    canvas = Canvas(image, fade=0.25)
    if len(people):
        records = people.get_field("keypoints").keypoints.detach().cpu().numpy()
        sides = [_side_colour(name) for name in joints.names]
        for record in records:
            _draw_skeleton(canvas, record, joints, sides, None if predicted else occluded_code(joints))
    if predicted:
        for box, score in zip(_canvas_boxes(people, canvas).numpy(), people.get_field("scores").tolist()):
            canvas.label(f"{score:.2f}", _tag_spots(box, canvas), (245, 246, 248))
    _note_if_none(canvas, people, answer, threshold)
    return canvas.finish()


def draw_part(image, answer, vocabulary, threshold=SCORE_SHOWN):
    """Parts of all objects over the image in grey, with a legend. Arguments as in `draw_detection`."""
    canvas = Canvas(image, fade=0.25, grey=True)
    predicted = isinstance(answer, ImagePrediction)
    labels = _predicted_part_map(answer, canvas, threshold) if predicted else _true_part_map(answer, canvas)
    if labels is None or vocabulary.parts is None:
        return missing_panel(image, answer)
    colours = part_colours(vocabulary)
    counts = np.bincount(labels.ravel(), minlength=len(colours))
    present = [k for k in range(1, len(colours)) if counts[k]]
    for k in present:
        canvas.tint(labels == k, colours[k], 0.75)
    canvas.separate(labels)
    largest = sorted(sorted(present, key=lambda k: -counts[k])[:12])
    canvas.legend([(vocabulary.parts.labels[k - 1].replace("_", " "), colours[k]) for k in largest])
    if not present:
        canvas.note("no part" if not predicted else "no part found")
    return canvas.finish()


def missing_panel(image, answer):
    """The grey panel of a task without an answer: nobody annotated it, or no head predicts it."""
    words = "not predicted" if isinstance(answer, ImagePrediction) else "not annotated"
    return message_panel(image, words)


def _shown(objects, threshold):
    """Predicted objects worth drawing, best first; annotated ones all."""
    if not objects.has_field("scores"):
        return objects
    scores = objects.get_field("scores")
    order = scores.argsort(descending=True)[:OBJECTS_SHOWN]
    return objects[order[scores[order] >= threshold]]


def _note_if_none(canvas, objects, answer, threshold):
    if not len(objects):
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
    rows, columns = np.nonzero(mask)
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return columns[nearest], rows[nearest]


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


def _true_part_map(answer, canvas):
    """The annotated part labels of all objects, [h, w], or None where no object has any."""
    if answer.instances is None or not answer.instances.has_field("parts"):
        return None
    parts = answer.instances.get_field("parts")
    if not bool(parts.annotated.any()):
        return None
    # An object's label map is 0 beyond its outline, so the largest label is that of the object which holds the pixel
    return enlarge_labels(parts.labels[parts.annotated].amax(0).cpu().numpy(), canvas.size)


def _predicted_part_map(answer, canvas, threshold):
    """Predicted part labels [h, w] of the region head or of the whole-image head, or None where neither ran."""
    if answer.part_map is not None:
        return answer.part_map.resize(canvas.size).scores.argmax(0).cpu().numpy()
    if answer.instances is None or not answer.instances.has_field("parts"):
        return None
    objects = _shown(answer.instances, threshold)
    if not len(objects):
        return np.zeros(canvas.size[::-1], np.uint8)
    parts, scores = objects.get_field("parts").float().cpu(), objects.get_field("scores").cpu()
    return paste_parts(parts, _canvas_boxes(objects, canvas), scores, canvas.size).numpy()
