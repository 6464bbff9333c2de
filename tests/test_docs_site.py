"""The documentation builds as a site without a warning; every option is on its page, and nothing is from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from maskrcnn_benchmark.config import cfg

pytest.importorskip("mkdocs")
pytest.importorskip("material")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_option_has_a_row_with_its_default_range_and_comment(site):
    page = (site / "options.html").read_text()
    for option in cfg.records():
        assert page.count(f'<tr id="{option.key}">') == 1
    row = page[page.index('<tr id="SOLVER.IMS_PER_BATCH">') :].partition("</tr>")[0]
    assert "<code>16</code>" in row
    assert "<td>1 … 65,536</td>" in row
    assert "Images per optimizer step, over all processes" in row


def test_options_in_the_text_lead_to_their_rows(site):
    assert '<a href="../options.html#MODEL.EDGE_DECODER"><code>' in (site / "tasks/boundary.html").read_text()
    assert '<a href="options.html#DTYPE"><code>' in (site / "training.html").read_text()


def test_a_task_shows_its_row_of_the_table(site):
    page = (site / "tasks/occlusion.html").read_text()
    assert "loss_occlusion_direction" in page
    assert "OPR-ODS-F" in page
    assert "make train 2, full size 2" in page


def test_readmes_beside_data_and_configurations_are_pages(site):
    assert "Where data lies" in (site / "datasets.html").read_text()
    assert 'href="datasets.html"' in (site / "index.html").read_text()
    assert 'href="ablation.html"' in (site / "configs.html").read_text()


def test_pages_load_nothing_from_elsewhere(site):
    loaded = re.compile(r'<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)="?((?:https?:)?//[^" >]+)')
    assert {address for page in site.rglob("*.html") for address in loaded.findall(page.read_text())} == set()
