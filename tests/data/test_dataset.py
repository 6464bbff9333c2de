"""What every data set answers, how readers of tasks bring their labels into it, and data sets of other classes."""

import json
import pickle

import numpy as np
import pytest
import torch
from detail_sets import opened
from PIL import Image

from maskrcnn_benchmark.data.dataset import AnnotatedDataset, LabelReader, as_dataset
from maskrcnn_benchmark.data.datasets import (
    CityScapesDataset,
    COCODataset,
    ConcatDataset,
    DetailDataset,
    MappedDataset,
    PascalVOCDataset,
)
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS, Task, annotated_tasks, tasks_of_layout
from maskrcnn_benchmark.utils.errors import UserError

EIGHT = tasks_of_layout("detail")  # the eight of PASCAL in Detail

LAYOUTS = ("detail", "coco", "voc", "cityscapes")
LABELLED = {"2", "000002", "aachen_000002_000019"}  # as the data sets below call an image


class DepthReader(LabelReader):
    """A map of ones for one image of each data set."""

    def read(self, image):
        return SemanticMap(torch.ones(image.size[::-1], dtype=torch.uint8)) if self.has(image) else None

    def has(self, image):
        return str(image.image_id) in LABELLED


class SideReader(LabelReader):
    """Whether an object is in the left half, and the number of its record: float [N, 2]."""

    def read(self, image):
        boxes = image.objects.bbox
        left = boxes[:, [0, 2]].mean(dim=1) < image.size[0] / 2
        numbers = torch.tensor([record["id"] for record in image.records], dtype=torch.float32)
        return torch.stack((left.float(), numbers), 1)

    def has(self, image):
        return image.has_objects


class Depth(Task):
    key = "depth"
    label_readers = dict.fromkeys(LAYOUTS, DepthReader)


class Side(Task):
    key = "side"
    per = "region"
    label_readers = {"detail": SideReader, "coco": SideReader}


class Scene(Task):
    """No data set has labels for it."""

    key = "scene"


@pytest.fixture(autouse=True)
def added(monkeypatch):
    for task in (Depth(), Side(), Scene()):
        monkeypatch.setitem(TASKS, task.key, task)


def save(path, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (12, 8)).save(path)


def write_coco(folder):
    box = {"bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0, "segmentation": [[1, 1, 4, 1, 4, 4]]}
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 12, "height": 8} for i in (1, 2, 3)],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, **box}],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    (folder / "images.json").write_text(json.dumps({"images": content["images"], "categories": content["categories"]}))
    return folder


def test_coco_reads_what_is_wanted_and_keeps_images_with_a_label(tmp_path):
    folder = write_coco(tmp_path)
    dataset = COCODataset(folder / "instances.json", None, True, tasks=("detection", "depth", "scene"))
    assert dataset.tasks == {"detection", "depth"} and dataset.ids == [1, 2]
    assert [annotated_tasks(dataset.get_annotations(i)) for i in (0, 1)] == [{"detection"}, {"detection", "depth"}]
    assert dataset.get_annotations(1).labels["depth"].labels.sum() == 96
    assert COCODataset(folder / "instances.json", None, True, tasks=("detection",)).ids == [1]


@pytest.mark.parametrize("file", ["instances.json", "images.json"])
def test_coco_alone_for_an_added_task_reads_no_objects(tmp_path, file):
    dataset = COCODataset(write_coco(tmp_path) / file, None, True, tasks=("depth",))
    assert dataset.ids[-1] == 2
    annotations = dataset.get_annotations(len(dataset) - 1)
    assert annotations.instances is None and annotated_tasks(annotations) == {"depth"}


def write_voc(root):
    xml = "<size><width>12</width><height>8</height></size>"
    names = ("000001", "000002")
    for name in names:
        save(root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{xml}</annotation>")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("\n".join(names))
    return root


def test_voc_leaves_out_what_no_wanted_task_is_annotated_on(tmp_path):
    dataset = PascalVOCDataset(write_voc(tmp_path), "train", tasks=("depth", "semantic"))
    assert annotated_tasks(dataset.get_annotations(1)) == {"depth"}
    assert dataset.leave_out_unannotated() == 1 and dataset.ids == ["000002"]
    with_boxes = PascalVOCDataset(tmp_path, "train", tasks=("depth", "detection"))
    assert with_boxes.leave_out_unannotated() == 0


def test_cityscapes_and_joined_data_sets_have_them_too(tmp_path):
    for number in (1, 2):
        name = f"aachen_{number:06d}_000019"
        save(tmp_path / "leftImg8bit" / "train" / "aachen" / f"{name}_leftImg8bit.png")
        save(tmp_path / "gtFine" / "train" / "aachen" / f"{name}_gtFine_instanceIds.png", "I;16")
    dataset = CityScapesDataset(tmp_path / "leftImg8bit", tmp_path / "gtFine", "train", tasks=("depth",))
    assert dataset.tasks == {"depth"}
    joined = ConcatDataset([dataset, dataset])
    found = [annotated_tasks(joined.get_annotations(i)) for i in range(4)]
    assert found == [set(), {"depth"}, set(), {"depth"}]


def test_a_label_per_region_goes_with_its_object(tmp_path):
    folder = write_coco(tmp_path)
    content = json.loads((folder / "instances.json").read_text())
    first = content["annotations"][0]
    content["annotations"] += [
        {**first, "id": 7, "bbox": [3, 3, 0, 2]},  # without area: left out after it was read
        {**first, "id": 8, "bbox": [8, 1, 3, 3]},
        {**first, "id": 9, "iscrowd": 1},
    ]
    (folder / "instances.json").write_text(json.dumps(content))
    dataset = COCODataset(folder / "instances.json", None, False, tasks=("side",))
    objects = dataset.get_annotations(0).instances
    assert objects.get_field("side").tolist() == [[1, 1], [0, 8]] and not objects.has_field("masks")
    assert annotated_tasks(dataset.get_annotations(0)) == {"detection", "side"} and dataset.tasks_of(0) == {"side"}
    testing = COCODataset(folder / "instances.json", None, False, tasks=("side",), keep_crowd=True)
    assert testing.get_annotations(0).instances.get_field("side")[:, 1].tolist() == [1, 7, 8, 9]


def test_a_label_per_region_in_detail_knows_its_records(tiny):
    dataset = opened(tiny)
    assert dataset.tasks == {*EIGHT, "panoptic", "part_panoptic", "occlusion_order", "depth", "side"}
    objects = dataset.get_annotations(1).instances
    assert objects.get_field("side")[:, 1].tolist() == [4, 5]
    assert dataset.get_annotations(2).instances is None and "side" not in dataset.tasks_of(2)


def test_a_label_per_region_of_another_length_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(SideReader, "read", lambda self, image: torch.zeros(5))
    with pytest.raises(ValueError, match=r"image 12 has 2 objects, but SideReader returned 5 labels of"):
        opened(tiny, tasks=("side",)).get_annotations(1)


def test_readers_of_an_image_share_what_it_holds(tiny):
    dataset = opened(tiny)
    image = dataset.image(1)
    assert image.objects is image.objects and image.masks is image.masks and image.runs is image.runs
    assert [record["id"] for record in image.records] == [4, 5] and image.size == (12, 20) and image.image_id == 12
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.tasks == dataset.tasks and copy.tasks_of(0) == dataset.tasks_of(0)


@pytest.mark.parametrize("open_it", [lambda tiny: opened(tiny, tasks=("smell",)), lambda tiny: voc(tiny, ("smell",))])
def test_a_task_that_nobody_knows_is_refused(tiny, open_it):
    with pytest.raises(ValueError, match=r"unknown tasks \['smell'\]; there are detection, instance, "):
        open_it(tiny)


def voc(folder, tasks):
    return PascalVOCDataset(write_voc(folder / "voc"), "train", tasks=tasks)


def test_layouts_and_ids_are_those_of_the_files(tiny, tmp_path):
    detail, coco = opened(tiny), COCODataset(write_coco(tmp_path) / "instances.json", None, False)
    assert (detail.layout, coco.layout, voc(tmp_path, None).layout) == ("detail", "coco", "voc")
    assert coco.category_ids() == {1: 1} and coco.class_ids() == {"dog": 1} and coco.part_ids() == {}
    assert [coco.image_id(index) for index in range(3)] == [1, 2, 3]
    assert voc(tmp_path / "b", None).category_ids()[20] == 20
    joined = ConcatDataset([detail, opened(tiny, split="val")])
    assert joined.layout == "detail" and joined.part_ids() == detail.part_ids()
    assert (joined.category_ids(), joined.class_ids()) == (detail.category_ids(), detail.class_ids())
    assert [joined.image_id(index) for index in range(5)] == joined.ids == [11, 12, 13, 14, 15]
    assert joined.tasks_of(4) == opened(tiny, split="val").tasks_of(1) and joined.members == joined.datasets
    mapped = MappedDataset(coco, detail.vocabulary)
    assert mapped.layout == "" and mapped.part_ids() == {} and mapped.image_id(2) == 3
    assert mapped.category_ids() == {1: 1, 2: 2, 3: 3}


def opened_coco(folder, remove=False):
    sizes = {9: (12, 7), 4: (30, 31), 6: (5, 6)}
    rows = [{"id": k, "file_name": f"{k}.png", "width": w, "height": h} for k, (w, h) in sizes.items()]
    record = {"id": 1, "image_id": 6, "category_id": 1, "bbox": [0, 0, 3, 3]}
    content = {"images": rows, "categories": [{"id": 1, "name": "dog"}], "annotations": [record]}
    (folder / "coco.json").write_text(json.dumps(content))
    return COCODataset(folder / "coco.json", None, remove)


def each_size(dataset):
    infos = [dataset.get_img_info(index) for index in range(len(dataset))]
    return [[info["width"], info["height"]] for info in infos]


def test_files_know_the_sizes_of_those_images_that_are_left(tmp_path):
    assert opened_coco(tmp_path).image_sizes().tolist() == [[30, 31], [5, 6], [12, 7]]
    assert opened_coco(tmp_path, remove=True).image_sizes().tolist() == [[5, 6]]


def test_joined_and_mapped_data_sets_pass_sizes_on(tiny, tmp_path):
    detail = DetailDataset(tiny / "annotations.json", None, "train")
    coco = opened_coco(tmp_path)
    mapped = MappedDataset(coco, detail.vocabulary)
    joined = ConcatDataset([detail, mapped])
    for dataset in (detail, coco, mapped, joined):
        found = dataset.image_sizes()
        assert found.dtype == np.int64 and found.tolist() == each_size(dataset)
    assert len(joined.image_sizes()) == len(detail) + 3


def test_without_a_folder_no_image_is_opened(tiny):
    dataset = DetailDataset(tiny / "annotations.json", None, "train")
    assert not dataset.has_images and opened(tiny).has_images
    with pytest.raises(UserError, match=r"annotations\.json was opened without a folder of images; name one"):
        dataset[0]


class Derived(AnnotatedDataset):
    """A user's own, of two images; what it calls its images is no number."""

    has_images = True
    ids = ("left", "right")
    tasks = frozenset(("detection",))
    vocabulary = Vocabulary(thing_names=("dot",))
    sizes = ((4, 3), (2, 8))

    def get_img_info(self, index):
        return {"width": self.sizes[index][0], "height": self.sizes[index][1], "file_name": f"{index}.png"}

    def open_image(self, index):
        return Image.new("RGB", self.sizes[index])

    def get_annotations(self, index):
        boxes = BoxList([[0, 0, 1, 1]], self.sizes[index])
        boxes.add_field("labels", torch.tensor([1]))
        return ImageAnnotations(self.sizes[index], boxes if index else None, image_id=self.ids[index])


class Plain:
    """The same without the base class, and with attributes that the package uses for other things."""

    category_ids = {"dot": 7}
    datasets = "a folder"
    file = None

    def __init__(self, transforms=None):
        self._own = Derived()
        self.vocabulary, self.tasks, self.transforms = self._own.vocabulary, {"detection"}, transforms

    def __len__(self):
        return 2

    def __getitem__(self, index):
        image, annotations = self._own.open_image(index), self._own.get_annotations(index)
        if self.transforms is not None:
            image, annotations = self.transforms(image, annotations)
        return image, annotations, index

    def get_img_info(self, index):
        return self._own.get_img_info(index)

    def get_annotations(self, index):
        return self._own.get_annotations(index)


def test_a_derived_class_says_the_rest_by_itself():
    dataset = Derived()
    assert as_dataset(dataset) is dataset and len(dataset) == 2 and dataset.layout == "" and dataset.root is None
    assert dataset.image_sizes().tolist() == [[4, 3], [2, 8]] and dataset.image_id(1) == "right"
    assert dataset.category_ids() == {1: 1} and dataset.class_ids() == {"dot": 1} and dataset.part_ids() == {}
    assert [dataset.tasks_of(index) for index in (0, 1)] == [set(), {"detection"}] and dataset.members == [dataset]
    image, annotations, index = dataset[1]
    assert (image.size, annotations.image_id, index) == ((2, 8), "right", 1)
    dataset.transforms = lambda image, annotations: (image.size, annotations.size)
    assert dataset[0][:2] == ((4, 3), (4, 3))
    Derived.ids, before = (), Derived.ids
    try:
        assert Derived().image_sizes().shape == (0, 2)
    finally:
        Derived.ids = before


def test_a_class_that_does_not_derive_is_adapted():
    dataset = as_dataset(Plain(lambda image, annotations: (image.size, annotations)))
    assert len(dataset) == 2 and dataset.layout == "" and dataset.category_ids() == {1: 1} and dataset.part_ids() == {}
    assert dataset.ids == [0, 1] and dataset.tasks == {"detection"} and dataset.has_images
    assert dataset[1][0] == (2, 8) and dataset.open_image(1).size == (2, 8)
    assert dataset.tasks_of(1) == {"detection"} and dataset.image_sizes().tolist() == [[4, 3], [2, 8]]
    joined = ConcatDataset([Plain(), Derived()])
    assert joined[3][1].image_id == "right" and joined.ids == [0, 1, "left", "right"]
    mapped = MappedDataset(Plain(), Vocabulary(thing_names=("dash", "dot")))
    assert mapped[1][1].instances.get_field("labels").tolist() == [2]


class RowsReader(LabelReader):
    """Whatever is put here, of every object."""

    rows = None

    def read(self, image):
        return self.rows

    def has(self, image):
        return True


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """What an image with one object has as the label of the task "side" if its reader returns `rows`."""

    def read(rows):
        monkeypatch.setattr(Side, "label_readers", {"coco": RowsReader})
        monkeypatch.setattr(RowsReader, "rows", rows)
        dataset = COCODataset(write_coco(tmp_path) / "instances.json", None, False, tasks=("detection", "side"))
        return dataset.get_annotations(0).instances.get_field("side")

    return read


def test_labels_of_objects_may_be_lists_and_arrays(rows):
    assert rows([2.5]).tolist() == [2.5] and rows(np.array([[1, 2]])).tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="has 1 object, but RowsReader returned a number of the task 'side'"):
        rows(torch.tensor(1.0))
    with pytest.raises(ValueError, match="has 1 object, but RowsReader returned 2 labels of the task 'side'"):
        rows([1, 2])


def test_a_reader_that_asks_itself_is_named(tmp_path, monkeypatch):
    class Circular(LabelReader):
        def read(self, image):
            return torch.ones(1) if self.has(image) else None

    monkeypatch.setattr(Depth, "label_readers", {"coco": Circular})
    dataset = COCODataset(write_coco(tmp_path) / "instances.json", None, False, tasks=("depth",))
    with pytest.raises(TypeError, match=r"Circular\.read asks `has`, which by default reads the label; define `has`"):
        dataset.get_annotations(0)


def test_a_table_in_the_place_of_a_method_is_named():
    class Numbered(AnnotatedDataset):
        category_ids = {1: 7}

    with pytest.raises(UserError, match=r"Numbered\.category_ids is a dict, but must be a method"):
        as_dataset(Numbered())
