"""COCO's names of things and stuff as the 59 classes of PASCAL in Detail."""

from collections.abc import Iterable

# {class of PASCAL in Detail: COCO's names for it or for kinds of it}. Of a merged class of COCO's panoptic
# segmentation the most common of the classes that it joins counts
COCO_NAMES: dict[str, tuple[str, ...]] = {
    "aeroplane": ("airplane",),
    "bicycle": ("bicycle",),
    "bird": ("bird",),
    "boat": ("boat",),
    "bottle": ("bottle",),
    "bus": ("bus",),
    "car": ("car",),
    "cat": ("cat",),
    "chair": ("chair",),
    "cow": ("cow",),
    "diningtable": ("dining table",),
    "dog": ("dog",),
    "horse": ("horse",),
    "motorbike": ("motorcycle",),
    "person": ("person",),
    "pottedplant": ("potted plant",),
    "sheep": ("sheep",),
    "sofa": ("couch",),
    "train": ("train",),
    "tvmonitor": ("tv",),
    "bag": ("backpack", "handbag", "suitcase"),
    "bed": ("bed",),
    "bench": ("bench",),
    "book": ("book",),
    "building": ("building-other", "building-other-merged", "house", "roof", "skyscraper"),
    "cabinet": ("cabinet", "cabinet-merged", "cupboard"),
    "ceiling": ("ceiling-merged", "ceiling-other", "ceiling-tile"),
    "cloth": ("cloth", "textile-other", "towel"),
    "computer": ("laptop",),
    "cup": ("cup",),
    "door": ("door-stuff",),
    "fence": ("fence", "fence-merged", "railing"),
    "floor": (
        *("carpet", "floor-marble", "floor-other", "floor-other-merged"),
        *("floor-stone", "floor-tile", "floor-wood"),
    ),
    "flower": ("flower",),
    "food": (
        *("apple", "banana", "broccoli", "cake", "carrot", "donut", "hot dog", "orange", "pizza", "sandwich"),
        *("food-other", "food-other-merged", "fruit", "salad", "vegetable"),
    ),
    "grass": ("grass", "grass-merged", "moss"),
    "ground": ("dirt", "dirt-merged", "gravel", "ground-other", "mud", "playingfield", "sand"),
    "keyboard": ("keyboard",),
    "light": ("light",),
    "mountain": ("hill", "mountain", "mountain-merged"),
    "mouse": ("mouse",),
    "curtain": ("curtain",),
    "platform": ("platform",),
    "sign": ("stop sign",),
    "plate": (),
    "road": ("road",),
    "rock": ("rock", "rock-merged", "stone"),
    "shelves": ("shelf",),
    "sidewalk": ("pavement", "pavement-merged"),
    "sky": ("clouds", "sky-other", "sky-other-merged"),
    "snow": ("snow",),
    "bedclothes": ("blanket", "pillow"),
    "track": ("railroad",),
    "tree": ("branch", "bush", "leaves", "tree", "tree-merged"),
    "truck": ("truck",),
    "wall": (
        *("wall-brick", "wall-concrete", "wall-other", "wall-other-merged"),
        *("wall-panel", "wall-stone", "wall-tile", "wall-wood"),
    ),
    "water": ("river", "sea", "water-other"),
    "window": ("window-blind", "window-other"),
    "wood": ("wood",),
}

# What has no class among the 59, or lies between several: its pixels are labelled by nobody
WITHOUT_CLASS = (
    # things
    *("baseball bat", "baseball glove", "bear", "bowl", "cell phone", "clock", "elephant", "fire hydrant", "fork"),
    *("frisbee", "giraffe", "hair drier", "kite", "knife", "microwave", "oven", "parking meter", "refrigerator"),
    *("remote", "scissors", "sink", "skateboard", "skis", "snowboard", "spoon", "sports ball", "surfboard"),
    *("teddy bear", "tennis racket", "tie", "toaster", "toilet", "toothbrush", "traffic light", "umbrella", "vase"),
    *("wine glass", "zebra"),
    # stuff; "other" is where stuff_*.json has things
    *("banner", "bridge", "cage", "cardboard", "clothes", "counter", "desk-stuff", "fog", "furniture-other", "mat"),
    *("metal", "mirror-stuff", "napkin", "net", "other", "paper", "paper-merged", "plant-other", "plastic", "rug"),
    *("rug-merged", "solid-other", "stairs", "straw", "structural-other", "table", "table-merged", "tent"),
    "waterdrops",
)

DETAIL_OF_COCO: dict[str, str | None] = {
    **dict.fromkeys(WITHOUT_CLASS),
    **{name: each for each, names in COCO_NAMES.items() for name in names},
}

# The stuff of COCO-Stuff by category id, from 92 on: a pixel of its maps is the id less 1
FIRST_STUFF_ID = 92
STUFF_NAMES = (
    *("banner", "blanket", "branch", "bridge", "building-other", "bush", "cabinet", "cage", "cardboard", "carpet"),
    *("ceiling-other", "ceiling-tile", "cloth", "clothes", "clouds", "counter", "cupboard", "curtain", "desk-stuff"),
    *("dirt", "door-stuff", "fence", "floor-marble", "floor-other", "floor-stone", "floor-tile", "floor-wood"),
    *("flower", "fog", "food-other", "fruit", "furniture-other", "grass", "gravel", "ground-other", "hill", "house"),
    *("leaves", "light", "mat", "metal", "mirror-stuff", "moss", "mountain", "mud", "napkin", "net", "paper"),
    *("pavement", "pillow", "plant-other", "plastic", "platform", "playingfield", "railing", "railroad", "river"),
    *("road", "rock", "roof", "rug", "salad", "sand", "sea", "shelf", "sky-other", "skyscraper", "snow"),
    *("solid-other", "stairs", "stone", "straw", "structural-other", "table", "tent", "textile-other", "towel"),
    *("tree", "vegetable", "wall-brick", "wall-concrete", "wall-other", "wall-panel", "wall-stone", "wall-tile"),
    *("wall-wood", "water-other", "waterdrops", "window-blind", "window-other", "wood"),
)


def unknown_names(names: Iterable[str]) -> list[str]:
    """The names that are none of COCO's things, stuff or merged stuff."""
    return [name for name in names if name not in DETAIL_OF_COCO]
