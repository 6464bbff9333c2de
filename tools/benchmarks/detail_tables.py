"""The tables of PASCAL in Detail's annotation file: its 59 categories and 82 parts with their real ids."""

from maskrcnn_benchmark.data.detail.categories import OFFICIAL_ORDER

THINGS, STUFF = OFFICIAL_ORDER[:20], OFFICIAL_ORDER[20:]
CATEGORY_IDS = dict(
    zip(
        OFFICIAL_ORDER,
        (
            *(2, 23, 25, 31, 34, 45, 59, 65, 72, 98, 397, 113, 207, 258, 284, 308, 347, 368, 416, 427),
            *(9, 18, 22, 33, 44, 46, 68, 80, 85, 104, 115, 144, 158, 159, 162, 187, 189, 220, 232, 259),
            *(260, 105, 296, 355, 295, 324, 326, 349, 354, 360, 366, 19, 415, 420, 424, 440, 445, 454, 458),
        ),
        strict=True,
    )
)
ANIMALS = ("bird", "cat", "cow", "dog", "horse", "sheep")
BACKGROUND = (*("ceiling", "floor", "grass", "ground", "platform", "road", "sidewalk", "sky", "snow", "tree", "water"),)

# Ids 1..81 are alphabetical, and the silhouette has 255 (the numbering of trainval_withkeypoints.json)
PART_NAMES = (
    *("backside", "beak", "bliplate", "body", "bwheel", "cap", "cbackside", "chainwheel", "cleftrightside", "coach"),
    *("croofside", "door", "engine", "fliplate", "frame", "framescreen", "frontside", "fwheel", "hair", "handlebar"),
    *("head", "headlight", "hfrontside", "hleftrightside", "hroofside", "lbhopa", "lbleg", "lblleg", "lbuleg", "lear"),
    *("lebrow", "leftmirror", "leftside", "leye", "lfhopa", "lfleg", "lflleg", "lfoot", "lhand", "lhorn", "llarm"),
    *("lleg", "llleg", "luarm", "luleg", "lwing", "mouth", "muzzle", "neck", "nose", "plant", "pot", "rbhopa"),
    *("rbleg", "rblleg", "rbuleg", "rear", "rebrow", "reye", "rfhopa", "rfleg", "rflleg", "rfoot", "rfuleg", "rhand"),
    *("rhorn", "rightmirror", "rightside", "rlarm", "rleg", "rlleg", "roofside", "ruarm", "ruleg", "rwing", "saddle"),
    *("stern", "tail", "torso", "wheel", "window"),
)
PART_IDS = {**{name: number for number, name in enumerate(PART_NAMES, 1)}, "silh": 255}

_VEHICLE = (
    *("door", "window", "wheel", "headlight", "leftside", "rightside", "frontside", "backside", "roofside"),
    *("leftmirror", "rightmirror", "fliplate", "bliplate"),
)
_HOOFED = (
    *("head", "lear", "rear", "leye", "reye", "muzzle", "neck", "torso", "tail"),
    *("lflleg", "rfuleg", "rflleg", "lbuleg", "lblleg", "rbuleg", "rblleg"),
)
_PAWED = (
    *("head", "lear", "rear", "leye", "reye", "nose", "neck", "torso", "tail", "lfleg", "rfleg", "lbleg", "rbleg"),
    *("lfhopa", "rfhopa", "lbhopa", "rbhopa"),
)
# The parts of the 16 classes that have any, by Pascal-Part (Chen et al., Detect What You Can, CVPR 2014)
CLASS_PARTS = {
    "aeroplane": ("body", "stern", "tail", "lwing", "rwing", "engine", "wheel"),
    "bicycle": ("fwheel", "bwheel", "saddle", "handlebar", "chainwheel", "headlight"),
    "bird": (
        *("head", "beak", "leye", "reye", "neck", "torso", "tail", "lwing", "rwing", "lleg", "lfoot", "rleg", "rfoot"),
    ),
    "bottle": ("body", "cap"),
    "bus": _VEHICLE,
    "car": _VEHICLE,
    "cat": _PAWED,
    "cow": (*_HOOFED, "lhorn", "rhorn"),
    "dog": (*_PAWED, "muzzle"),
    "horse": (*_HOOFED, "lfhopa", "rfhopa", "lbhopa", "rbhopa"),
    "motorbike": ("fwheel", "bwheel", "saddle", "handlebar", "headlight"),
    "person": (
        *("head", "hair", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth", "neck", "torso"),
        *("luarm", "llarm", "lhand", "ruarm", "rlarm", "rhand", "luleg", "llleg", "lfoot", "ruleg", "rlleg", "rfoot"),
    ),
    "pottedplant": ("plant", "pot"),
    "sheep": (*_HOOFED, "lhorn", "rhorn"),
    "train": (
        *("head", "coach", "headlight", "hfrontside", "hleftrightside", "hroofside"),
        *("cleftrightside", "croofside", "cbackside"),
    ),
    "tvmonitor": ("framescreen", "frame"),
}
SUPERPARTS = {
    **dict.fromkeys(("hair", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth"), "head"),
    **dict.fromkeys(("luarm", "llarm", "lhand"), "leftarm"),
    **dict.fromkeys(("ruarm", "rlarm", "rhand"), "rightarm"),
    **dict.fromkeys(("luleg", "llleg", "lfoot"), "leftleg"),
    **dict.fromkeys(("ruleg", "rlleg", "rfoot"), "rightleg"),
}


def category_rows():
    """The section "categories"."""
    return [
        {
            "category_id": number,
            "name": name,
            "supercategory": "animal" if name in ANIMALS else "background" if name in BACKGROUND else "object",
            "onlysemantic": name in STUFF,
            "parts": sorted(PART_IDS[part] for part in CLASS_PARTS.get(name, ())),
        }
        for name, number in CATEGORY_IDS.items()
    ]


def part_rows():
    """The section "parts"."""
    return [
        {"part_id": number, "name": name, "superpart": SUPERPARTS.get(name, "none")}
        for name, number in PART_IDS.items()
    ]
