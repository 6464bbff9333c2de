"""The installed command: each subcommand is a script of tools/, and a mistake is one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from maskrcnn_benchmark import __main__ as command
from maskrcnn_benchmark import __version__

ROOT = Path(__file__).parents[1]


def run(*words, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "maskrcnn_benchmark", *words], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def test_every_command_is_listed_with_the_first_line_of_its_script(capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["--help"])
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    for name, tool in command.COMMANDS.items():
        first = (ROOT / "tools" / f"{tool}.py").read_text().removeprefix('"""').partition("\n")[0]
        assert f"  {name:<10}{first}" in shown and len(first) > 20


@pytest.mark.parametrize("name", command.COMMANDS)
def test_every_script_shows_an_example_of_itself(name):
    doc = command.script_of(name).read_text().split('"""')[1]
    assert f"\n\npython tools/{command.COMMANDS[name]}.py " in doc


def test_a_command_speaks_of_itself_by_its_name():
    done = run("test", "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: maskrcnn-benchmark test [-h]")
    assert "\nmaskrcnn-benchmark test --ckpt output/mini_R_18_FPN/model_final.pth\n" in done.stdout
    assert "python tools" not in done.stdout


def test_a_mistake_in_a_command_is_one_line():
    done = run("train", "SOLVER.BASE_LRR", "1")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "did you mean SOLVER.BASE_LR?" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["tran"], 2, "error: there is no command 'tran'; did you mean train?"),
        (["xyz"], 2, "error: there is no command 'xyz'; there are train, test,"),
        (["--version"], 0, f"maskrcnn-benchmark {__version__}"),
    ],
)
def test_what_is_no_command(words, code, text, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(words)
    shown = capsys.readouterr()
    assert caught.value.code == code and (shown.out + shown.err).startswith(text)
