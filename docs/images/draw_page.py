"""Draw `page.png` anew: the page that `coursekit export --web` writes, with a scene in it.

coursekit demo
coursekit export runs/demo --web page
python docs/images/draw_page.py page
"""

import io
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from coursekit.data import load
from coursekit.export.serve import make_server

HERE = Path(__file__).parent
SCENE = 3  # of `mini`, val
VIEW = {"width": 900, "height": 760}  # pixels
COLORS = 160


def main(web: Path) -> None:
    """Write page.png from the folder of a page. Print what the page says."""
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene.png"
        Image.fromarray(load("mini", "val")[SCENE][0].permute(1, 2, 0).numpy()).save(scene)
        picture = _photographed(web, scene)
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(COLORS, method=Image.Quantize.MEDIANCUT).save(HERE / "page.png", optimize=True)


def _photographed(web: Path, scene: Path) -> bytes:
    """Return a picture of the page after it has looked at a scene."""
    with make_server(web, 0) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=VIEW)
        page.goto(f"http://127.0.0.1:{server.server_port}")
        page.wait_for_selector("#file:enabled")
        page.set_input_files("#file", scene)
        page.wait_for_selector("#found tbody tr", state="attached")
        print(page.text_content("#status"), page.text_content("#times"))
        picture = page.screenshot(full_page=True)
        browser.close()
        server.shutdown()
    return picture


if __name__ == "__main__":
    main(Path(sys.argv[1]))
