"""What the documentation names is there: pages, headings, pictures, scripts, configurations, options, modules."""

import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.config.node import OBSOLETE_PREFIXES

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("docs/**/*.md"), *(ROOT / name for name in ("README.md", "configs/README.md", "datasets/README.md"))]
)
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
OPTION = re.compile(r"(?<![\w./+-])[A-Z][A-Z0-9_]*(?:\.[A-Z][A-Z0-9_]*)+(?![\w/]|\.[a-z])")
ROOMS = "|".join(path.name for path in (ROOT / "maskrcnn_benchmark").iterdir() if path.is_dir())
FILES = {path.name for path in ROOT.rglob("*.py") if ".venv" not in path.parts}
MODULE = re.compile(rf"(?<![\w/.])(?:maskrcnn_benchmark/)?((?:{ROOMS})/[\w/]+\.py)\b")
# The page about a ninth task speaks of the options that its example adds
ADDED = re.compile(r"FOCUS|RELATIVE")


def name_of(page):
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(params=PAGES, ids=name_of)
def page(request):
    return request.param


def anchors_of(page):
    """The anchors of a page's headings, as both GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings]
    return {re.sub(r"\s", "-", heading) for heading in words}


def missing(page, pattern, place):
    """The files that a page names and that are not there."""
    names = set(re.findall(pattern, page.read_text()))
    return sorted(name for name in names if not (ROOT / place / name).is_file())


def test_links_and_pictures_lead_somewhere(page):
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))
    broken = []
    for link in LINK.findall(text):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


def test_scripts_exist(page):
    assert missing(page, r"(?<![\w/.])((?:tools|docs/examples|tests)/[\w/]+\.py)\b", ".") == []


def test_configurations_exist(page):
    assert missing(page, r"(?<![\w/])(configs/[\w./-]+\.yaml)\b", ".") == []


def test_modules_exist(page):
    assert missing(page, MODULE, "maskrcnn_benchmark") == []
    assert set(re.findall(r"`(\w+\.py)`", page.read_text())) <= FILES


def test_what_is_imported_by_name_is_there(page):
    text = page.read_text()
    names = set(re.findall(r"\bmaskrcnn_benchmark(?:\.\w+)+(?![\w/]|\()", text)) - {"maskrcnn_benchmark.md"}
    for module, imported in re.findall(r"^ *from (maskrcnn_benchmark[\w.]*) import ([\w, ]+)$", text, re.MULTILINE):
        names |= {f"{module}.{name.partition(' as ')[0].strip()}" for name in imported.split(",")}
    for name in names:
        pkgutil.resolve_name(name)


def test_options_exist(page):
    options = [option.key for option in cfg.records()]
    known = {".".join(key.split(".")[:depth]) for key in options for depth in range(1, len(key.split(".")) + 1)}
    named = set(OPTION.findall(page.read_text()))
    unknown = {name for name in named - known if not name.startswith(OBSOLETE_PREFIXES) and not ADDED.search(name)}
    assert sorted(unknown) == []


def test_the_page_of_options_is_what_the_options_are():
    # in a process of its own: tasks' options come in the order in which tests may have imported the tasks
    words = f"import runpy; print(runpy.run_path({str(ROOT / 'docs' / 'options_tables.py')!r})['page'](), end='')"
    command = [sys.executable, "-X", "utf8", "-c", words]
    page = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, encoding="utf-8").stdout
    assert (ROOT / "docs" / "options.md").read_text(encoding="utf-8") == page, (
        "write it anew: python docs/options_tables.py"
    )
    row = "| `SOLVER.IMS_PER_BATCH` | `16` | 1 … 65,536 | Images per optimizer step, over all processes"
    assert page.count(row) == 1
    for option in cfg.records():
        (line,) = (line for line in page.splitlines() if line.startswith(f"| `{option.key}` | "))
        assert len(re.findall(r"(?<!\\)\|", line)) == 5


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="this is no clone")
def test_git_ignores_what_the_tools_write_but_no_folder_of_the_package():
    written = ["predictions/a.jpg", "exported/model.onnx", "evaluation/results.json", "dataset.html", "output/log.txt"]
    ours = [f"maskrcnn_benchmark/{room}/new.py" for room in ("evaluation", "export", "data", "prediction_files")]
    command = ["git", "check-ignore", "--no-index", *written, *ours, "datasets/README.md", "tests/evaluation/new.py"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split() == written


def test_every_page_of_the_folder_is_in_the_navigation():
    nav = set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text()))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.is_relative_to(ROOT / "docs")}
    assert pages <= nav


def test_a_data_set_of_ones_own_is_quoted_as_it_is():
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs/adding_a_dataset.md").read_text(), re.DOTALL | re.MULTILINE
    )
    quoted = [block for block in blocks if block.startswith("class ")]
    source = (ROOT / "docs/examples/shapes.py").read_text()
    assert quoted and all(block in source for block in quoted)
