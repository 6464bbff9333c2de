"""Every public function and method of the package says what it takes and returns."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "maskrcnn_benchmark"


def is_public(name):
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def public_functions(tree):
    """(name, function) of functions and of methods of classes, those of public names."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and is_public(node.name):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and is_public(node.name):
            yield from ((f"{node.name}.{name}", function) for name, function in public_functions(node))


def is_typed(function):
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    stars = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    typed = all(each.annotation is not None for each in (*named, *stars) if each.arg not in ("self", "cls"))
    return typed and function.returns is not None


def test_public_functions_have_type_hints():
    lacking = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, function in public_functions(ast.parse(path.read_text())):
            if not is_typed(function):
                lacking.append(f"{path.relative_to(PACKAGE)}:{function.lineno} {name}")
    assert not lacking, f"{len(lacking)} without type hints:\n" + "\n".join(lacking)


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()
