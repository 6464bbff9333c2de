"""What a good end looks like: no trace, no wait, no growth, nothing outside, and a line that helps."""

import re

from faults.child import GROWTH

TRACE = "Traceback (most recent call last)"
# What a remedy sounds like: a thing to do, or what is right
_REMEDY = re.compile(
    r"\b(remove|choose|use|give|name|run|start|set|make|write|free|add|check|take|takes|raise|lower|install|save|put|"
    r"prepare|unpack|download|move|repair|restore|allow|lift|drop|wait|stop|end|go on|look at|cut|send|try|"
    r"train|keep|fit|fetch|copy|open|draw|delete|replace|enlarge|reduce|leave|correct|see|needs?|must|should|"
    r"expects?|expected|at most|at least|between|from|is one of|one of|there (is|are)|did you mean|has to|"
    r"have to|can be|are read|are taken|only|mend|resize|has one|no such|unknown option|not an option|instead)\b",
    re.IGNORECASE,
)
_LONGEST_LINE = 2000


# Where in a file of thousands of records the fault is: what to mend is there
_PLACE = re.compile(
    r"\b(byte|line|entry|record|annotation|image|object|category|row|column|section|part|position|frame) "
    r"?[-'\w]*\d|\b(at byte|at line|line \d+)|\b(annotation|image|object|category|entry|section)s? '",
    re.IGNORECASE,
)


def check_line(message, names=(), place=False):
    """What is wrong with the line of an error: list of problems.

    Args:
        message: the text.
        names: texts of which it has to hold one: the file, the key or the option; () asks for none.
        place: whether saying where in a file the fault is will do for a remedy: in data, what to mend is there.
    """
    problems = []
    if "\n" in message.strip():
        problems.append(f"the error is not one line: {message[:300]!r}")
    if not message.strip():
        problems.append("the error says nothing")
    if len(message) > _LONGEST_LINE:
        problems.append(f"the error has {len(message)} characters: {message[:200]!r}...")
    if names and not any(str(name) in message for name in names):
        problems.append(f"the error names none of {', '.join(map(str, names))}: {message[:300]!r}")
    if not _REMEDY.search(message) and not (place and _PLACE.search(message)):
        problems.append(f"the error holds no remedy: {message[:300]!r}")
    return problems


def check_end(outcome, codes=(0,), names=(), trace="", growth=GROWTH):
    """What is wrong with the end of a tool: list of problems.

    Args:
        outcome: the `child.Outcome`.
        codes: the exit codes that are right.
        names: as for `check_line`, of the line that a tool says when it ends with 2.
        trace: name of an injected error, whose trace has to be there; "" wants no trace.
        growth: bytes that it may take.
    """
    problems = []
    if outcome.stopped:
        problems.append(f"{outcome.stopped}; {last_words(outcome.output)}")
    elif outcome.code not in codes:
        problems.append(f"ended with {_ending(outcome.code)}, not {_either(codes)}; {last_words(outcome.output)}")
    if trace:
        if TRACE not in outcome.output or trace not in outcome.output:
            problems.append(f"no trace of the {trace}; {last_words(outcome.output)}")
    elif TRACE in outcome.output:
        problems.append(f"a trace: {trace_end(outcome.output)}")
    if outcome.growth > growth and not outcome.stopped:
        problems.append(f"took {outcome.growth / 2**30:.1f} GiB")
    if outcome.outside:
        problems.append(f"changed outside its folder: {'; '.join(outcome.outside[:3])}")
    if outcome.left:
        problems.append(f"left {outcome.left} process(es) behind")
    if outcome.code == 2 and not outcome.stopped and not trace:
        line = error_line(outcome.output)
        problems += ["exit code 2 without a line 'error: ...'"] if line is None else check_line(line, names)
    return problems


def error_line(output):
    """The text of the last line "error: ...", or None."""
    found = re.findall(r"^(?:\[rank \d+\] )?error: (.*)$", output, re.MULTILINE)
    return found[-1] if found else None


def trace_end(output):
    """Error and place in the package of the last trace: "KeyError: 'a' at utils/checkpoint.py:33"."""
    text = output[output.rindex(TRACE) :]
    places = re.findall(r'File "[^"]*?(maskrcnn_benchmark/[^"]+|tools/[^"]+)", line (\d+)', text)
    lines = [line for line in text.splitlines()[1:] if line and not line.startswith((" ", "\t"))]
    error = lines[0] if lines else text.strip().splitlines()[-1]
    where = f" at {places[-1][0].removeprefix('maskrcnn_benchmark/')}:{places[-1][1]}" if places else ""
    return f"{error[:240]}{where}"


def last_words(output):
    """The end of what a tool said, in a line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return f"last words: {lines[-1][:240]!r}" if lines else "it said nothing"


def _ending(code):
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _either(codes):
    return " or ".join(str(code) for code in codes)
