"""The page in a real browser, which can reach nothing but this machine: with a picture, and with a webcam."""

import contextlib
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from coursekit.data.subsets.http_client import FetchError
from coursekit.export.npm import ONNXRUNTIME_WEB, Package, npm_files
from coursekit.export.prepare import prepare_image
from coursekit.export.serve import make_server
from coursekit.export.web import write_web
from tests.export.conftest import noise
from tests.lessons.notebooks.in_browser import CHROMIUM

pytestmark = pytest.mark.slow

AXE = Package(
    "axe-core",
    "4.14.1",
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    ("package/axe.min.js",),
)
FLAGS = [
    "--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
PREPARE = """async ([pixels, width, height, settings]) => {
    const { prepareImage } = await import("/prepare.js");
    const { input, size, scale } = prepareImage(new ImageData(Uint8ClampedArray.from(pixels), width, height), settings);
    return [Array.from(input), size, scale];
}"""
DETECT = """async ([pixels, width, height]) => {
    const { detect, loadDetector } = await import("/detector.js");
    return (await detect(await loadDetector(), new ImageData(Uint8ClampedArray.from(pixels), width, height))).stages;
}"""


def _fetched(package):
    """The files of a package, from the cache or the network: with neither, the tests that need it are skipped."""
    try:
        return npm_files(package, tries=1)
    except FetchError as error:
        pytest.skip(f"{package.name} is not in the cache, and can't be fetched: {error}")


@contextlib.contextmanager
def _running(server):
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def address(exported, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    write_web(exported.path, exported.settings, folder, _fetched(ONNXRUNTIME_WEB))
    with _running(make_server(folder, 0)) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian: apt install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """The page, ready. At the end: it has asked nobody else, and reported no error."""
    page, asked, errors = browser.new_page(), [], []
    page.set_default_timeout(30_000)
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(address)
    _wait_for_status(page, "Ready")
    yield page
    page.close()
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []
    assert errors == []


def _wait_for_status(page, text):
    page.wait_for_function("text => document.getElementById('status').textContent.includes(text)", arg=text)


def _rgba(image):
    """An image as a browser has it: a list of red, green, blue and alpha of each pixel, and its width and height."""
    pixels = np.concatenate([image.permute(1, 2, 0).numpy(), np.full((*image.shape[1:], 1), 255, np.uint8)], axis=2)
    return pixels.flatten().tolist(), image.shape[2], image.shape[1]


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(noise(200, 90, 2).permute(1, 2, 0).numpy()).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.mark.parametrize("shape", [(72, 72), (200, 90), (90, 333), (1, 300), (5, 7)])
def test_a_picture_is_prepared_as_in_training(page, exported, shape):
    image, settings = noise(*shape), exported.settings
    known = {"size": settings.size, "mean": settings.mean, "std": settings.std}
    pixels, size, scale = page.evaluate(PREPARE, [*_rgba(image), known])
    expected, expected_scale = prepare_image(image, settings.size, settings.mean, settings.std)
    torch.testing.assert_close(torch.tensor(pixels).view_as(expected), expected, atol=1e-4, rtol=0)
    assert tuple(scale) == pytest.approx(expected_scale)
    assert size == [round(side * factor) for side, factor in zip(shape, expected_scale, strict=True)]


def test_all_stages_are_those_of_onnxruntime(page, exported):
    image = noise(200, 90, 2)
    stages, outputs = page.evaluate(DETECT, list(_rgba(image))), exported.detector.stages(image)
    for found, stage in zip(stages, exported.settings.stages, strict=True):
        real = outputs[stage.scores] >= 0
        boxes, scores = (torch.tensor([box[key] for box in found]) for key in ("box", "score"))
        assert boxes.shape == outputs[stage.boxes][real].shape
        gaps = torch.cdist(boxes, outputs[stage.boxes][real], p=torch.inf)  # boxes of equal scores may change places
        assert max(gaps.amin(0).max(), gaps.amin(1).max()) < 1e-2
        expected = outputs[stage.scores][real].sort().values
        torch.testing.assert_close(scores.sort().values, expected, atol=1e-4, rtol=0)
    names = [exported.settings.classes[label - 1] for label in outputs["labels"][outputs["scores"] >= 0]]
    assert sorted(box["name"] for box in stages[-1]) == sorted(names)


def test_a_chosen_picture_is_shown_with_its_detections(page, exported, picture):
    page.set_input_files("#file", picture)
    _wait_for_status(page, "picture.png. Detections:")
    _set_threshold(page, 0.05)
    found = exported.detector(noise(200, 90, 2))
    assert page.locator("#found tbody tr").count() == (found["scores"] >= 0.05).sum() > 0
    assert page.evaluate("[document.getElementById('picture').width, document.getElementById('picture').height]") == [
        90,
        200,
    ]
    assert "ms" in page.text_content("#times")


def test_stages_are_switched_on_one_by_one(page, picture):
    page.set_input_files("#file", picture)
    _wait_for_status(page, "Detections:")
    _set_threshold(page, 0.05)
    pictures = [page.evaluate("document.getElementById('picture').toDataURL()")]
    for title in ("Proposals before NMS", "Proposals after NMS"):
        page.get_by_role("checkbox", name=title).check()
        _wait_for_status(page, f"{title}:")
        pictures.append(page.evaluate("document.getElementById('picture').toDataURL()"))
    assert len(set(pictures)) == 3
    page.get_by_role("checkbox", name="Detections").uncheck()
    assert page.locator("#found tbody tr").count() == 0


def test_a_file_that_is_no_picture_is_named(page, tmp_path):
    (tmp_path / "page.jpg").write_text("<html>")
    page.set_input_files("#file", tmp_path / "page.jpg")
    _wait_for_status(page, "page.jpg is no picture that this browser can read")


def test_a_picture_can_be_dropped(page, picture):
    page.evaluate(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(bytes)], "dropped.png", { type: "image/png" }));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
        }""",
        list(picture.read_bytes()),
    )
    _wait_for_status(page, "dropped.png. Detections:")


def test_the_webcam_runs_until_it_is_stopped(page):
    page.click("#camera")
    page.wait_for_function("() => document.getElementById('picture').getAttribute('aria-label').startsWith('Webcam')")
    first = page.evaluate("document.getElementById('picture').toDataURL()")
    page.wait_for_function("first => document.getElementById('picture').toDataURL() !== first", arg=first)
    assert page.text_content("#status") == "The webcam is on."  # a status that changes with each frame would never end
    page.get_by_role("button", name="Stop the webcam").press("Enter")
    _wait_for_status(page, "The webcam is off.")
    assert page.evaluate("document.getElementById('video').srcObject") is None


def test_a_picture_stops_the_webcam(page, picture):
    page.click("#camera")
    page.wait_for_function("() => document.getElementById('picture').getAttribute('aria-label').startsWith('Webcam')")
    page.set_input_files("#file", picture)
    _wait_for_status(page, "picture.png. Detections:")
    assert page.text_content("#camera") == "Use the webcam"


def test_everything_is_reached_with_the_keyboard(page):
    seen = set()
    for _ in range(8):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.parentElement.textContent.trim()"))
    assert seen >= {"file", "camera", "threshold", "Proposals before NMS", "Proposals after NMS", "Detections"}


@pytest.mark.parametrize("with_result", [False, True])
def test_axe_finds_nothing_to_object_to(page, picture, with_result):
    (axe,) = _fetched(AXE)
    if with_result:
        page.set_input_files("#file", picture)
        _wait_for_status(page, "Detections:")
        _set_threshold(page, 0.05)
    page.evaluate(axe.read_text(encoding="utf-8"))
    violations = page.evaluate("async () => (await axe.run()).violations.map(({ id, nodes }) => [id, nodes[0].html])")
    assert violations == []


def _set_threshold(page, value):
    page.locator("#threshold").fill(str(value))
