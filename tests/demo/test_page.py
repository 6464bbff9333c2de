"""The demo as its users meet it: started as a command, clicked in a headless Chromium."""

import io
import json
import re
import shutil
import socket
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 120_000  # milliseconds, of a machine that does other things as well


@pytest.fixture(scope="module")
def served(serve, tmp_path_factory):
    """The demo as a command, asked for a port that is taken."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "secret.txt").write_text("secret")
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        serve(folder, "--port", str(taken.getsockname()[1])) as served,
    ):
        yield served
        served.process.terminate()
        assert served.process.wait(PATIENCE / 1000) == 0
        assert [path.name for path in folder.iterdir()] == ["secret.txt"]  # uploads, samples and all else are gone


def status_of(address, **headers):
    request = urllib.request.Request(address, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())
    try:
        return opener.open(request, timeout=PATIENCE / 1000).status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_taken_port_is_told_and_the_link_opens_the_page(served):
    assert re.fullmatch(r"port \d+ is taken, so \d+ is used\n", served.said[-2])
    assert status_of(served.link) == 200
    assert status_of(served.address) == 401
    assert status_of(served.link, Host="elsewhere.example") == 400


@pytest.fixture
def page():
    """A page of a headless Chromium, with the addresses that it asked for in `asked`."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(PATIENCE)
        playwright.expect.set_options(timeout=PATIENCE)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        yield page
        browser.close()


def test_a_walk_through_the_page(served, small, tmp_path, page):
    from playwright.sync_api import expect

    address = served.address
    page.goto(served.link)
    page.locator("#samples button").first.click()
    detection = page.locator("figure[data-task=detection] img")
    passes = page.locator("[data-passes]")
    expect(page.locator("figure")).to_have_count(5)  # the image and four tasks
    expect(passes).to_have_attribute("data-passes", "1")
    expect(page.locator("header")).to_contain_text("model_final.pth")

    # a threshold moves the picture and the table, not the network
    before = detection.get_attribute("src")
    slider = page.get_by_label("range slider for threshold of detection")
    slider.fill("0")
    expect(detection).not_to_have_attribute("src", before)
    expect(page.locator("table.objects tbody tr")).to_have_count(6)
    slider.fill("1")
    expect(page.locator("table.objects")).to_have_count(0)
    expect(passes).to_have_attribute("data-passes", "1")

    # a task goes and comes
    page.get_by_label("boundary detection", exact=True).uncheck()
    expect(page.locator("figure[data-task=boundary]")).to_have_count(0)
    expect(page.locator("figure")).to_have_count(4)

    # downloads
    with page.expect_download() as caught:
        page.get_by_role("link", name="Download JSON").click()
    tree = json.loads(Path(caught.value.path()).read_text())
    assert tree["image_id"] == "2008_000001" and set(tree["maps"]) >= {"semantic", "boundary"}
    with page.expect_download() as caught:
        page.get_by_role("link", name="Download picture").click()
    assert caught.value.suggested_filename == "2008_000001.png"
    assert Image.open(caught.value.path()).convert("RGB").getextrema() != ((255, 255),) * 3

    # uploads: no image, an image, too many bytes
    upload = page.locator("#upload input[type=file]")
    upload.set_input_files({"name": "words.jpg", "mimeType": "image/jpeg", "buffer": b"no picture at all"})
    expect(page.get_by_role("alert")).to_contain_text("words.jpg is no image")
    expect(page.locator("figure")).to_have_count(4)
    upload.set_input_files(str(small.images[1]))
    expect(page.locator("#summary")).to_contain_text(small.images[1].stem)
    expect(passes).to_have_attribute("data-passes", "2")
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(40_000_000)
    upload.set_input_files(str(tmp_path / "huge.jpg"))
    expect(page.get_by_role("alert")).to_contain_text("huge.jpg has 40 MB")

    # an image is pasted anywhere on the page
    page.evaluate(
        """address => {
          const bytes = Uint8Array.from(atob(address.split(",")[1]), letter => letter.charCodeAt(0));
          const clipboard = new DataTransfer();
          clipboard.items.add(new File([bytes], "pasted.jpg", { type: "image/jpeg" }));
          document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: clipboard, bubbles: true }));
        }""",
        page.locator("#samples img").first.get_attribute("src"),
    )
    expect(page.locator("#summary")).to_contain_text("pasted")
    expect(page.get_by_role("alert")).to_have_count(0)

    # a picture grows, and shrinks at the escape key
    page.get_by_role("button", name="enlarge detection").click()
    expect(page.locator("dialog img")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)

    screenshot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    assert len(np.unique(screenshot.reshape(-1, 3), axis=0)) > 1000
    assert [asked for asked in page.asked if not asked.startswith((address, "data:", "blob:"))] == []
