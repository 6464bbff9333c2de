"""Makes docs/images/demo.png from the network of `make train`: `python tests/demo/take_screenshot.py` in the checkout.

Needs gradio, playwright and a Chromium, and draws the image that it shows.
"""

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "output" / "mini_R_18_FPN" / "model_final.pth"
SAMPLE = 7


def main():
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    command = [sys.executable, str(ROOT / "tools" / "demo.py"), str(CHECKPOINT), "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    try:
        address = re.search(r"http://\S+", process.stdout.readline())[0]
        picture = take(address, chromium)
    finally:
        process.terminate()
        process.communicate()
    small = picture.quantize(255, Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE)
    small.save(ROOT / "docs" / "images" / "demo.png", optimize=True)


def take(address, chromium):
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
        page.goto(address)
        for passes, sample in enumerate((SAMPLE - 1, SAMPLE), 1):  # the first prediction of a process takes longer
            page.locator("#samples button").nth(sample).click()
            expect(page.locator(f"[data-passes='{passes}']")).to_be_attached(timeout=60_000)
        expect(page.locator("figure")).to_have_count(9, timeout=60_000)
        expect(page.locator("#pictures [data-testid=status-tracker]")).to_have_class(re.compile("hide"))
        page.locator("h1").click()  # away from the button
        shot = page.screenshot(full_page=True, animations="disabled")
        browser.close()
    return Image.open(io.BytesIO(shot)).convert("RGB")


if __name__ == "__main__":
    main()
