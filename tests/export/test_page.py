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
DROP = """bytes => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(bytes)], "dropped.png", { type: "image/png" }));
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
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


@pytest.mark.parametrize(
    ("shape", "side"), [((72, 72), 72), ((200, 90), 72), ((90, 333), 72), ((1, 300), 72), ((5, 7), 72), ((98, 49), 64)]
)
def test_a_picture_is_prepared_as_in_training(page, exported, shape, side):
    image, settings, square = noise(*shape), exported.settings, (side, side)
    known = {"size": square, "mean": settings.mean, "std": settings.std}
    pixels, size, scale = page.evaluate(PREPARE, [*_rgba(image), known])
    expected, expected_scale = prepare_image(image, square, settings.mean, settings.std)
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
    width, height = page.evaluate(
        "[document.getElementById('picture').width, document.getElementById('picture').height]"
    )
    assert (width, height) == (288, 640)  # enlarged
    assert f"Detections: {page.locator('#found tbody tr').count()} of " in page.text_content("#status")
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


def test_a_file_that_is_no_picture_is_named_and_nothing_is_left_of_the_picture_before(page, tmp_path, picture):
    page.set_input_files("#file", picture)
    _wait_for_status(page, "Detections:")
    _set_threshold(page, 0.05)
    (tmp_path / "page.jpg").write_text("<html>")
    page.set_input_files("#file", tmp_path / "page.jpg")
    _wait_for_status(page, "page.jpg isn't a picture this browser can read")
    assert page.get_attribute("#picture", "aria-label") == "No picture"
    assert page.locator("#found").is_hidden()
    assert page.locator("#found tbody tr").count() == 0
    assert page.text_content("#times") == ""
    _set_threshold(page, 0.1)
    assert page.locator("#found").is_hidden()


def test_of_two_pictures_given_quickly_the_newer_wins(page, tmp_path, picture):
    Image.new("RGB", (4000, 4000)).save(tmp_path / "slow.png")  # decoding it takes longer
    page.set_input_files("#file", tmp_path / "slow.png")
    page.set_input_files("#file", picture)
    _wait_for_status(page, "picture.png. Detections:")
    page.wait_for_timeout(2000)
    assert "picture.png" in page.text_content("#status")
    assert page.get_attribute("#picture", "aria-label").startswith("picture.png")


def test_a_label_moves_below_its_box_if_a_better_one_has_its_place(page):
    places = page.evaluate(
        """async () => {
            const { placeLabels } = await import("/draw.js");
            const boxes = [[10, 50, 60, 90], [12, 50, 60, 95], [11, 50, 60, 94], [290, 2, 319, 40]];
            return placeLabels(boxes, [40, 40, 40, 40], 18, { width: 320, height: 240 });
        }"""
    )
    assert places == [[10, 32], [12, 95], [11, 32], [280, 0]]  # both places of the third are taken


def test_the_best_box_is_drawn_last(page):
    color = page.evaluate(
        """async () => {
            const { drawBoxes } = await import("/draw.js");
            const canvas = new OffscreenCanvas(640, 640), drawn = [];
            const context = canvas.getContext("2d");
            for (const name of ["strokeRect", "fillText"]) {
                context[name] = (first) => drawn.push(typeof first === "string" ? first : Math.round(first));
            }
            drawBoxes(canvas, [{ box: [1, 99, 9, 120], text: "best" }, { box: [5, 99, 9, 120], text: "worst" }],
                { color: "red", width: 1, dash: [] });
            return drawn;
        }"""
    )
    assert color == [5, 1, "worst", "best"]


def test_opened_as_a_file_it_says_what_to_do(browser, exported, tmp_path):
    write_web(exported.path, exported.settings, tmp_path / "page", [])
    page = browser.new_page()
    page.goto((tmp_path / "page" / "index.html").as_uri())
    page.wait_for_timeout(300)
    assert "Open this page from a web server" in page.text_content("#status")
    page.close()


def test_in_a_narrow_window_the_page_does_not_scroll_sideways(page, picture):
    page.set_viewport_size({"width": 300, "height": 640})
    page.set_input_files("#file", picture)
    _wait_for_status(page, "Detections:")
    _set_threshold(page, 0.05)
    assert page.locator("#found").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_picture_dropped_while_the_detector_loads_is_shown_when_it_is_ready(browser, address, picture):
    page = browser.new_page()
    page.set_default_timeout(30_000)
    held = []
    page.route("**/model.onnx", lambda route: held.append(route))
    page.goto(address)
    _wait_for_status(page, "Loading the detector")
    page.evaluate(DROP, list(picture.read_bytes()))
    while not held:
        page.wait_for_timeout(50)
    held[0].continue_()
    _wait_for_status(page, "dropped.png. Detections:")
    page.close()


def test_a_picture_can_be_dropped(page, picture):
    page.evaluate(DROP, list(picture.read_bytes()))
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


def test_the_button_of_the_webcam_waits_for_an_answer(page, picture):
    page.evaluate("""() => {
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wanted) => {
            await new Promise((resolve) => { window.answer = resolve; });
            return window.stream = await ask(wanted);
        };
    }""")
    page.click("#camera")
    assert page.locator("#camera").is_disabled()
    page.set_input_files("#file", picture)  # meanwhile: the picture wins
    _wait_for_status(page, "picture.png. Detections:")
    page.evaluate("answer()")
    page.wait_for_function("() => !document.getElementById('camera').disabled")
    assert page.text_content("#camera") == "Use the webcam"
    assert page.evaluate("stream.getTracks().map(({ readyState }) => readyState)") == ["ended"]


@pytest.mark.parametrize(
    ("error", "words"), [("NotFoundError", "No webcam was found."), ("NotAllowedError", "Allow it for this page")]
)
def test_without_a_webcam_it_says_why(page, error, words):
    page.evaluate(
        "error => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', error)); }", error
    )
    page.click("#camera")
    _wait_for_status(page, words)
    assert page.locator("#camera").is_enabled()


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
