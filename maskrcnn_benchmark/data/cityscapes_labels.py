"""The labels of Cityscapes: the numbers in its images, the classes with instances, and those of its semantic task."""

# (number in *_labelIds.png, name), in the order of the benchmark's 19 classes
SEMANTIC = (
    (7, "road"), (8, "sidewalk"), (11, "building"), (12, "wall"), (13, "fence"), (17, "pole"), (19, "traffic light"),
    (20, "traffic sign"), (21, "vegetation"), (22, "terrain"), (23, "sky"), (24, "person"), (25, "rider"), (26, "car"),
    (27, "truck"), (28, "bus"), (31, "train"), (32, "motorcycle"), (33, "bicycle"),
)  # fmt: skip

# The classes of which single objects are told apart. The benchmark evaluates all but two of them
INSTANCES = (
    (24, "person"), (25, "rider"), (26, "car"), (27, "truck"), (28, "bus"),
    (29, "caravan"), (30, "trailer"), (31, "train"), (32, "motorcycle"), (33, "bicycle"),
)  # fmt: skip
NOT_EVALUATED = ("caravan", "trailer")

# In *_instanceIds.png an object is its label's number times this, plus its own; a bare label is a group
PER_LABEL = 1000
GROUP = "group"  # a polygon of this ending is of several objects that nobody told apart


def instance_classes(evaluated_only: bool) -> dict[int, str]:
    """{number: name} of the classes with instances: all ten, or the eight that the benchmark evaluates."""
    return {number: name for number, name in INSTANCES if not (evaluated_only and name in NOT_EVALUATED)}
