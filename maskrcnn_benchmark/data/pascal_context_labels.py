"""The class lists of PASCAL-Context and NYUD-v2 as multi-task papers use them (Maninis et al., ASTMT, CVPR 2019)."""

# The number that PASCAL-Context gives to each of VOC's 20 classes (Mottaghi et al. 2014), in VOC's order, is
# `detail.categories.CATEGORY_IDS`: PASCAL in Detail took its numbers over.

MOST_CLASSES = 459  # PASCAL-Context's; 0 is no class
# Those on which normals are scored: classes of the 459 that NYUD-v2's 894 have, too (indoor things), and tvmonitor
NORMALS_CLASSES = (
    *(3, 4, 6, 9, 10, 11, 13, 15, 17, 18, 22, 23, 29, 30, 33, 34, 36, 37, 38, 39, 41, 43, 46, 49, 50, 51, 53, 55),
    *(56, 59, 61, 62, 65, 66, 68, 69, 72, 73, 78, 83, 84, 85, 87, 88, 95, 96, 101, 104, 105, 107, 111, 113, 115),
    *(122, 124, 135, 141, 142, 143, 146, 150, 154, 157, 158, 159, 165, 172, 174, 181, 183, 184, 191, 193, 195, 197),
    *(199, 202, 213, 215, 216, 219, 220, 223, 225, 228, 230, 232, 233, 238, 239, 242, 243, 246, 250, 251, 252, 255),
    *(260, 261, 263, 269, 272, 273, 275, 281, 283, 284, 285, 286, 287, 288, 290, 291, 292, 293, 295, 304, 307, 309),
    *(310, 314, 315, 319, 323, 329, 330, 331, 336, 342, 345, 349, 350, 351, 352, 355, 357, 368, 370, 371, 374, 379),
    *(380, 383, 384, 397, 401, 403, 405, 407, 408, 411, 412, 413, 414, 417, 419, 421, 423, 427, 429, 430, 432, 440),
    *(441, 442, 443, 444, 446, 454, 457),
)

# NYUD-v2's 40 classes (Gupta et al., CVPR 2013): value k of its PNG is the k-th, 0 is unlabelled
NYUD_CLASSES = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture"),
    *("counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor-mat", "clothes"),
    *("ceiling", "books", "refridgerator", "television", "paper", "towel", "shower-curtain", "box", "whiteboard"),
    *("person", "night-stand", "toilet", "sink", "lamp", "bathtub", "bag", "otherstructure", "otherfurniture"),
    "otherprop",
)
