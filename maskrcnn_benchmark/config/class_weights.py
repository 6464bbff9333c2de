"""The options that weigh the classes of a loss: what may stand in them, and the weights that they say.

Such an option is () (all classes weigh 1), one weight for each class, pairs of a class's name and its weight, or a rule
that makes weights of how frequent the classes are. Counting the training data (`data.class_weights`) adds the pairs
that came of a rule behind it, so that whoever reads the option later needs no data.
"""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Choice, Either, Number, Range, Row, Text
from maskrcnn_benchmark.utils.ranges import Sequence as SequenceRange
from maskrcnn_benchmark.utils.text import counted

WEIGHT = Number(0, 1e6)


def class_weights_range(*rules: str) -> Range:
    """The values of an option for which there are some rules."""
    return SequenceRange(Either(Choice(*rules), WEIGHT, Row(("class", Text()), ("weight", WEIGHT))), 0, 2**14)


def rule_of(value: Sequence[Any]) -> str:
    """The rule that an option names, "" where it names none."""
    return value[0] if len(value) and isinstance(value[0], str) else ""


def is_uncounted(value: Sequence[Any]) -> bool:
    """Whether an option names a rule of which no weights were made."""
    return bool(rule_of(value)) and len(value) == 1


def class_weight_problems(key: str, value: Sequence[Any]) -> Iterator[str]:
    """What is wrong with an option's value, each problem in one line with the remedy."""
    rest = value[1:] if rule_of(value) else value
    pairs = [each for each in rest if isinstance(each, list | tuple)]
    if (rule_of(value) and len(pairs) < len(rest)) or 0 < len(pairs) < len(rest):
        yield f"{key} mixes rules, numbers and pairs; give one rule, a number per class, or pairs of name and weight"
    names = [] if rule_of(value) else [name for name, _ in pairs]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        yield f"{key} names {double!r} twice; leave one out"


def class_weights(key: str, value: Sequence[Any], names: Sequence[str] | None) -> tuple[float, ...] | None:
    """The weight of each class.

    Args:
        key: the option's name, for messages.
        value: the option's.
        names: of the classes, in order; None where they are not known.

    Returns:
        a weight for each class; None where all are 1, and for a rule of which no weights were made (`is_uncounted`).

    Raises:
        UserError: there are not as many, a name is of no class, or names would be needed and are not known.
    """
    if not value or is_uncounted(value):
        return None
    rule, pairs = rule_of(value), [each for each in value if isinstance(each, list | tuple)]
    if not pairs:
        if names is not None and len(value) != len(names):
            raise UserError(
                f"{key} has {counted(len(value), 'weight')}, but there are {counted(len(names), 'class', 'classes')}; "
                "give each one, or pairs of name and weight for some"
            )
        return tuple(map(float, value))
    if rule:
        if names is not None and [name for name, _ in pairs] != list(names):
            raise UserError(f"{key} has weights that {rule} made for other classes; leave all but {rule!r} out")
        return tuple(float(weight) for _, weight in pairs)
    if names is None:
        raise UserError(f"{key} names classes, but the network is built without a vocabulary; give it one")
    unknown = next((name for name, _ in pairs if name not in names), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, names, 1)
        remedy = f"did you mean {near[0]!r}?" if near else "correct it"
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise UserError(f"{key} names {unknown!r}, which is none of the classes ({shown}); {remedy}")
    weights = {name: float(weight) for name, weight in pairs}
    return tuple(weights.get(name, 1.0) for name in names)
