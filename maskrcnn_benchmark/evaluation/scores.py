"""What an evaluator finds out: metrics, metrics per class, curves, and why a metric is missing."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Line:
    """One line of a diagram.

    Attributes:
        label: its name in the legend.
        x, y: float [M], points in order.
        best: (x, y) of a point to mark, or None.
    """

    label: str
    x: object
    y: object
    best: tuple[float, float] | None = None


@dataclass(frozen=True)
class Curve:
    """A diagram of lines in the unit square.

    Attributes:
        name: file name without suffix.
        title, x_label, y_label: words to display.
        lines: list of `Line`.
        y_range: least and greatest value that is drawn.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    lines: list
    y_range: tuple[float, float] = (0.0, 1.0)


@dataclass
class Scores:
    """All that one task's evaluation says.

    Attributes:
        metrics: {name: value in 0..1, or nan where nothing could be scored}.
        per_class: {name of a metric: {class name: value or nan}}.
        curves: list of `Curve`.
        reason: why metrics are nan, in words; "" where none is.
        text: lines in another tool's own form, such as pycocotools' summary; "" where there are none.
        protocol: one line that names the definitions in use.
        note: one line on which published figures are measured alike; "" for none.
    """

    metrics: dict
    per_class: dict = field(default_factory=dict)
    curves: list = field(default_factory=list)
    reason: str = ""
    text: str = ""
    protocol: str = ""
    note: str = ""
