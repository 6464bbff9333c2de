"""Annotations and answers of the size of PASCAL in Detail, made up for measuring the evaluation."""

import json
from pathlib import Path

import numpy as np
from pycocotools import mask as run_length
from scipy.ndimage import gaussian_filter

from benchmarks.photograph_scenes import SIZE, enlarge
from maskrcnn_benchmark.data.mini_detail import writing as mini_detail
from maskrcnn_benchmark.data.mini_detail.scene import draw_scene
from maskrcnn_benchmark.prediction_files.encodings import encode_strength
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.tasks.occlusion import OcclusionPrediction, encode_direction
from maskrcnn_benchmark.tasks.part import PartPrediction

FALSE_ALARMS = 20  # detections per image beside those of its objects


def write_annotations(path, count, distinct, seed=0):
    """Write a file in PASCAL in Detail's layout: images of phase "val" of 500 x 375 pixels, all tasks annotated.

    Args:
        path: the file.
        count: number of images.
        distinct: number of different drawn scenes; further images repeat them.
        seed: of the drawing.
    """
    scenes = [_sections(enlarge(draw_scene(np.random.default_rng([seed, n]))), n) for n in range(distinct)]
    content = {**mini_detail.header(), "images": []}
    sections = ("annos_segmentation", "annos_boundary", "annos_occlusion", "annos_joints")
    content.update({section: [] for section in sections})
    for number in range(count):
        image_id = 2008 * 10**6 + number + 1
        content["images"].append(
            {
                "file_name": f"2008_{number + 1:06d}.jpg",
                "image_id": image_id,
                "width": SIZE[0],
                "height": SIZE[1],
                "phase": "val",
            }
        )
        for section in sections:
            content[section] += [{**row, "image_id": image_id} for row in scenes[number % distinct][section]]
    for section, key in (("annos_segmentation", "id"), ("annos_joints", "person_id")):
        content[section] = [{key: n, **row} for n, row in enumerate(content[section], 1)]
    Path(path).write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def _sections(scene, seed):
    """The records of one scene by section."""
    return {
        "annos_segmentation": mini_detail.instance_annotations(scene, 0) + mini_detail.stuff_annotations(scene, 0),
        "annos_boundary": [mini_detail.boundary_annotation(scene, 0)],
        "annos_occlusion": [mini_detail.occlusion_annotation(scene, 0, np.random.default_rng(seed))],
        "annos_joints": mini_detail.joint_annotations(scene, 0),
    }


def imperfect_answers(target, vocabulary, rng):
    """What a middling network might answer: every task right in places, wrong in others.

    Args:
        target: `ImageAnnotations` of all tasks.
        vocabulary: its data set's.
        rng: NumPy generator.

    Returns:
        {task key: what `Task.encode` returns}.
    """
    objects = _Objects(target, vocabulary, rng)
    strength = _soft_edges(target.boundary.edges.numpy(), rng)
    occluding = _soft_edges(target.occlusion.edges.numpy(), rng)
    sin, cos = (gaussian_filter(part, 2) for part in target.occlusion.direction.numpy())
    noise = rng.normal(0, 0.02, (2, *sin.shape))
    labels = target.semantic.labels.numpy().copy()
    labels[labels == IGNORE_INDEX] = 0
    x, y = rng.integers(0, SIZE[0] - 60), rng.integers(0, SIZE[1] - 60)
    labels[y : y + 60, x : x + 60] = rng.integers(len(vocabulary.semantic_names))
    return {
        "detection": objects.boxes(),
        "instance": objects.masks(),
        "keypoint": objects.joints(),
        "part": objects.parts(),
        "semantic": labels,
        "boundary": encode_strength(strength),
        "occlusion": OcclusionPrediction(encode_strength(occluding), encode_direction(sin + noise[0], cos + noise[1])),
        "classification": np.clip(target.classes.numpy() + rng.normal(0, 0.6, len(target.classes)), 0, 1),
    }


def _soft_edges(edges, rng):
    """A map with a soft ridge along most edges and weak ones elsewhere: float [H, W] in 0..1."""
    shifted = np.roll(edges, rng.integers(-1, 2, 2), axis=(0, 1)).astype(np.float64)
    texture = gaussian_filter(rng.normal(size=edges.shape), 3)
    ridge = gaussian_filter(shifted, 1.2)
    strength = ridge / max(ridge.max(), 1e-9) * (0.7 + texture * 3) + np.clip(texture * 2, 0, 0.4)
    return np.clip(strength, 0, 1)


class _Objects:
    """Detections on one image: its objects, moved a little, and false alarms among them."""

    def __init__(self, target, vocabulary, rng):
        self.target, self.vocabulary, self.rng = target, vocabulary, rng
        instances = target.instances
        self.source = np.concatenate([np.arange(len(instances)), rng.integers(0, max(len(instances), 1), FALSE_ALARMS)])
        self.source = self.source[: len(self.source) if len(instances) else 0]
        labels = instances.get_field("labels").numpy()
        self.labels = labels[self.source]
        false = np.arange(len(self.source)) >= len(instances)
        self.scores = np.where(false, rng.random(len(false)) * 0.6, 0.3 + 0.7 * rng.random(len(false)))
        self.shift = np.where(false[:, None], rng.normal(0, 60, (len(false), 2)), rng.normal(0, 3, (len(false), 2)))
        self.shift = self.shift.round().astype(int)

    def boxes(self):
        boxes = self.target.instances.convert("xywh").bbox.double().numpy()[self.source]
        boxes[:, :2] += self.shift
        return self._rows("bbox", boxes.tolist())

    def masks(self):
        masks = self.target.instances.get_field("masks").get_mask_tensor().numpy().reshape(-1, *SIZE[::-1])
        moved = [_moved(masks[source], shift) for source, shift in zip(self.source, self.shift)]
        return self._rows("segmentation", [_encode(mask) for mask in moved])

    def joints(self):
        people = self.target.people.get_field("keypoints").keypoints.double().numpy()
        joints = people[self.rng.integers(0, max(len(people), 1), 3 if len(people) else 0)]
        joints = joints + self.rng.normal(0, 3, joints.shape) * [1, 1, 0]
        person = self.vocabulary.thing_names.index("person") + 1
        return [
            {"category_id": person, "keypoints": each.reshape(-1).tolist(), "score": float(score)}
            for each, score in zip(joints, self.rng.random(len(joints)))
        ]

    def parts(self):
        labels = np.zeros(SIZE[::-1], np.uint8)
        rows = []
        if self.target.instances.has_field("parts"):
            maps = self.target.instances.get_field("parts").labels.numpy()
            for source, shift, label, score in zip(self.source, self.shift, self.labels, self.scores):
                part_map = _moved(maps[source], shift)
                present = np.unique(part_map[part_map > 0])
                if len(present):
                    parts = [{"part": int(k), "segmentation": _encode(part_map == k)} for k in present]
                    rows.append({"category_id": int(label), "score": float(score), "parts": parts})
                    if score > 0.5:
                        labels[part_map > 0] = part_map[part_map > 0]
        return PartPrediction(labels, rows)

    def _rows(self, key, values):
        return [
            {"category_id": int(label), key: value, "score": float(score)}
            for label, value, score in zip(self.labels, values, self.scores)
        ]


def _moved(picture, shift):
    return np.roll(picture, shift[::-1], axis=(0, 1))


def _encode(mask):
    return run_length.encode(np.asfortranarray(mask, dtype=np.uint8))
