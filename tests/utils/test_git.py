"""The state of a checkout: commit, branch, changes; nothing where there is none."""

import shutil
import subprocess

import pytest

from maskrcnn_benchmark.utils.git import collect_git_state

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")


@pytest.fixture
def git(tmp_path):
    def run(*words):
        who = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
        done = subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("a = 1\n")
    run("init", "-q", "-b", "trunk")
    run("add", ".")
    run("commit", "-q", "-m", "first")
    return run


def test_a_clean_checkout(git, tmp_path):
    assert collect_git_state(tmp_path / "package") == {
        "commit": git("rev-parse", "HEAD"),
        "branch": "trunk",
        "dirty": False,
        "untracked": 0,
        "diff_stat": [],
    }


def test_changes_are_counted_and_their_content_is_not_told(git, tmp_path):
    (tmp_path / "package" / "__init__.py").write_text("a = 1\npassword = 'hunter2'\n")
    (tmp_path / "new.py").write_text("")
    state = collect_git_state(tmp_path / "package")
    assert state["dirty"] and state["untracked"] == 1
    first, last = state["diff_stat"]
    assert "package/__init__.py" in first and "1 insertion" in last
    assert "hunter2" not in str(state)


def test_staged_changes_and_no_branch(git, tmp_path):
    git("checkout", "-q", "--detach")
    (tmp_path / "package" / "__init__.py").write_text("a = 2\n")
    git("add", ".")
    state = collect_git_state(tmp_path / "package")
    assert state["branch"] is None and state["dirty"] and len(state["diff_stat"]) == 2


def test_a_package_that_is_installed_below_another_checkout_has_none(git, tmp_path):
    installed = tmp_path / "venv" / "package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert collect_git_state(installed) is None


def test_variables_of_git_do_not_lead_elsewhere(git, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert collect_git_state(tmp_path / "package")["branch"] == "trunk"


def test_without_git_or_a_checkout_there_is_nothing(git, tmp_path, monkeypatch, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "__init__.py").write_text("")
    assert collect_git_state(outside) is None
    assert collect_git_state(tmp_path / "gone") is None
    monkeypatch.setenv("PATH", "")
    assert collect_git_state(tmp_path / "package") is None
