"""The page for phones: what is written, and what a real browser makes of it."""

import base64
import gzip
import http.server
import io
import json
import os
import re
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import RICE_LEAF
from PIL import Image

from lite0ca.errors import InputError
from lite0ca.export import phone_page
from lite0ca.images.reading import read_image
from lite0ca.machine.environment import cache_folder
from lite0ca.settings.advice import not_sure_advice
from lite0ca.settings.names import LANGUAGES

METADATA = {"name": "Tiny", "classes": ["brown_spot", "healthy", "leaf_blast"], "image_size": 224}
METADATA |= {"data": "noise", "version": "0.1.0", "sure_from": 0.0, "drawn_sample": False}
OUTPUTS = {"probabilities": "three of them", "distance": "to the training photos"}
PHONE = {"viewport": {"width": 360, "height": 640}, "is_mobile": True, "has_touch": True}
LAPTOP = {"viewport": {"width": 1280, "height": 800}}
SECONDS = 20_000  # milliseconds that the browser may take for anything


# --- the folder ------------------------------------------------------------------------------


@pytest.fixture
def without_npm(monkeypatch, tmp_path):
    """A stand-in for onnxruntime-web, and a model; returns a function that writes the page."""
    model = tmp_path / "model.onnx"
    model.write_bytes(b"a model")
    monkeypatch.setattr(
        phone_page, "runtime_files", lambda: dict.fromkeys(phone_page.RUNTIME_FILES, b"runtime")
    )
    return lambda folder, **metadata: phone_page.write_page(model, METADATA | metadata, folder)


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def version(folder: Path) -> str:
    return re.search('VERSION = "(.*)"', (folder / "service-worker.js").read_text())[1]


def test_the_folder_is_complete_and_versioned_by_its_content(without_npm, tmp_path):
    folder = without_npm(tmp_path / "new/page")
    assert folder == tmp_path / "new/page" and listed(folder.parent) == ["page"]
    named = phone_page.files_of_page(folder)
    assert named == listed(folder)
    for name in re.findall(r'(?:href|src)="([^"]+)"', (folder / "index.html").read_text()):
        assert name in named
    for path in folder.glob("*.js"):
        for name in re.findall(r'(?:from|import) "\./([^"]+)"', path.read_text()):
            assert name in named
    metadata = json.loads((folder / "model.json").read_text())
    assert metadata["download"] == {"model.packed": 27, "onnxruntime.packed": 7}
    assert metadata["names"] == {
        "en": ["brown spot", "healthy", "leaf blast"],
        "vi": ["đốm nâu", "khỏe mạnh", "đạo ôn"],
    }
    assert "default-src 'self'" in (folder / "service-worker.js").read_text()
    # Equal input, equal page; any change is another version.
    same, other = without_npm(tmp_path / "same"), without_npm(tmp_path / "other", name="Ảnh")
    assert version(same) == version(folder) != version(other)


def test_names_and_advice_are_those_of_the_commands(without_npm, tmp_path):
    names = {"healthy": {"vi": "lúa tốt"}, "leaf_blast": {"en": "blast", "vi": "cháy lá"}}
    folder = without_npm(tmp_path / "page", names=names)
    metadata = json.loads((folder / "model.json").read_text())
    assert metadata["names"]["en"] == ["brown spot", "healthy", "blast"]
    assert metadata["names"]["vi"] == ["đốm nâu", "lúa tốt", "cháy lá"]
    words = (folder / "words.js").read_text(encoding="utf-8")
    for language in LANGUAGES:
        assert f'advice: "{not_sure_advice(language)}"' in words


def test_an_earlier_page_is_replaced_and_other_files_stay(without_npm, tmp_path):
    folder = without_npm(tmp_path / "page")
    before = version(folder)
    (folder / "CNAME").write_text("leaf.example")
    text = (folder / "service-worker.js").read_text()
    (folder / "service-worker.js").write_text(text.replace('["app.js"', '["app.js", "gone.js"'))
    (folder / "gone.js").write_text("of an older version")
    without_npm(folder, sure_from=0.9)
    assert version(folder) != before and "gone.js" not in listed(folder)
    assert (folder / "CNAME").read_text() == "leaf.example"
    assert listed(tmp_path) == ["model.onnx", "page"]


def test_other_folders_are_refused(without_npm, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "service-worker.js").write_text("// somebody else's")
    with pytest.raises(InputError, match=r"mine: holds files that are no page of ours \(service"):
        without_npm(folder)
    assert listed(folder) == ["service-worker.js"]
    with pytest.raises(InputError, match="is a file"):
        without_npm(tmp_path / "model.onnx")
    (tmp_path / "empty").mkdir()
    assert "index.html" in listed(without_npm(tmp_path / "empty"))


def test_nothing_is_left_half_written(without_npm, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        without_npm(tmp_path / "page")
    assert listed(tmp_path) == ["model.onnx"]


@pytest.mark.parametrize(
    ("npm", "message"),
    [
        (None, r"npm is not installed: install Node.js, or put onnxruntime-web-[\d.]+tgz, .* into"),
        ("echo npm error code ENOTFOUND >&2; echo npm error no network >&2; exit 1", "no network"),
        ("echo rubbish > onnxruntime-web.tgz", "is not the published package"),
    ],
)
def test_without_onnxruntime(npm, message, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    if npm:
        (tmp_path / "npm").write_text(f"#!/bin/sh\n{npm}\n")
        (tmp_path / "npm").chmod(0o755)
    (tmp_path / "model.onnx").write_bytes(b"a model")
    with pytest.raises(InputError, match=message) as caught:
        phone_page.write_page(tmp_path / "model.onnx", METADATA, tmp_path / "page")
    assert "\n" not in str(caught.value) and not (tmp_path / "page").exists()


def test_colours_can_be_read():
    """Text on its ground, light and dark: WCAG AA asks for 4.5 to 1."""
    style = (phone_page.PAGE / "style.css").read_text()
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w{6});", part)) for part in themes(style))
    for colours in (light, dark):
        for text in ("ink", "soft", "leaf", "warn", "wrong"):
            for ground in ("paper", "card", "well")[: 3 if text in ("ink", "soft") else 2]:
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        assert contrast(colours["on-leaf"], colours["leaf"]) >= 4.5
        assert contrast(colours["warn"], colours["warn-ground"]) >= 4.5
    assert contrast("#ffffff", "#b3261e") >= 4.5


def themes(style: str) -> list[str]:
    return [block.split("}")[0] for block in style.split(":root {")[1:]]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    channels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


# --- in a browser ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runtime():
    """onnxruntime-web in the cache of the tests: the user's copy, or npm's."""
    pytest.importorskip("playwright.sync_api", reason="no playwright")
    pytest.importorskip("onnxruntime", reason="no onnxruntime: pip install -e '.[onnx]'")
    if not chromium():
        pytest.skip("no chromium")
    name = f"{phone_page.RUNTIME}-{phone_page.RUNTIME_VERSION}.tgz"
    kept, own = Path.home() / ".cache/lite0ca" / name, cache_folder() / name
    if kept.is_file() and not own.exists():
        own.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kept, own)
    try:
        phone_page.runtime_package()
    except InputError as error:
        pytest.skip(str(error))


def chromium() -> str | None:
    return next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )


@pytest.fixture(scope="module")
def model(runtime, tmp_path_factory) -> Path:
    """(height, width, 3) -> 8 x 8 -> three classes; a turned photo or swapped colours show. Twice
    the mean of the pixels is the distance.
    """
    from onnx import TensorProto, helper, numpy_helper, save

    weights = np.random.default_rng(0).normal(0, 0.04, (192, 3)).astype(np.float32)
    constants = {
        "size": np.array([1, 3, 8, 8], np.int64),
        "one": np.array([0], np.int64),
        "scale": np.array(255, np.float32),
        "middle": np.array(0.5, np.float32),
        "weights": weights - weights.mean(axis=0),
        "flat": np.array([1, 192], np.int64),
        "classes": np.array([3], np.int64),
        "two": np.array([2], np.float32),
    }
    nodes = [
        ("Transpose", ["photo"], "planes", {"perm": [2, 0, 1]}),
        ("Unsqueeze", ["planes", "one"], "batch", {}),
        ("Cast", ["batch"], "floats", {"to": TensorProto.FLOAT}),
        ("Resize", ["floats", "", "", "size"], "small", {"mode": "linear", "antialias": 1}),
        ("Div", ["small", "scale"], "unit", {}),
        ("Sub", ["unit", "middle"], "centred", {}),
        ("Reshape", ["centred", "flat"], "row", {}),
        ("MatMul", ["row", "weights"], "logits", {}),
        ("Softmax", ["logits"], "shares", {"axis": 1}),
        ("Reshape", ["shares", "classes"], "probabilities", {}),
        ("ReduceMean", ["unit"], "mean", {"keepdims": 0}),
        ("Mul", ["mean", "two"], "distance", {}),
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, given, [made], **how) for kind, given, made, how in nodes],
        "tiny",
        [helper.make_tensor_value_info("photo", TensorProto.UINT8, ["height", "width", 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [count])
            for name, count in (("probabilities", 3), ("distance", 1))
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    opset = [helper.make_opsetid("", 18)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


@pytest.fixture(scope="module")
def session(model):
    import onnxruntime

    return onnxruntime.InferenceSession(model)


@pytest.fixture(scope="module")
def leaf(request) -> Path:
    """A real photo, or a drawing where there are none."""
    folder = RICE_LEAF
    if not folder.is_dir():
        folder = request.getfixturevalue("sample").parent
    return sorted((folder / "brown_spot").glob("*.jpg"))[0]


class Handler(http.server.SimpleHTTPRequestHandler):
    """`http.server` as users start it, but silent, and it can be switched off."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.server.down:
            self.close_connection = True
        else:
            super().do_GET()


@contextmanager
def serving(folder: Path):
    handler = partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.asked, server.down = [], False
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def served(model, tmp_path_factory):
    """A server with pages in sub-folders."""
    root = tmp_path_factory.mktemp("served")
    never = {name: value for name, value in METADATA.items() if name != "sure_from"}
    phone_page.write_page(model, METADATA, root / "page")
    phone_page.write_page(model, never | {"drawn_sample": True}, root / "unsure")
    phone_page.write_page(model, METADATA | {"outputs": OUTPUTS}, root / "knowing")
    phone_page.write_page(model, METADATA, root / "broken")
    (root / "broken/model.packed").write_bytes(bytes(model.stat().st_size))
    with serving(root) as server:
        server.root = root
        yield server


@pytest.fixture(scope="module")
def browser(runtime):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(),
            args=["--no-sandbox", "--use-fake-device-for-media-stream"],
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, served):
    """Open a page; at the end: no error on its console, and no other origin was asked."""
    contexts, said, asked = [], [], []

    def open_page(name="page", options=PHONE, said=said, script=None, **more):
        context = browser.new_context(**{"locale": "en-US"} | options | more)
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.set_default_timeout(SECONDS)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "console", lambda line: line.type in ("error", "warning") and said.append(line.text)
        )
        if script:
            page.add_init_script(script)
        page.goto(f"{origin(served)}/{name}/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith((origin(served), "blob:"))] == []


def origin(server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def ready(page) -> None:
    expect_text(page, "Ready")


def expect_text(page, text: str, element: str = "#answer") -> None:
    from playwright.sync_api import expect

    expect(page.locator(element)).to_have_text(re.compile(text), timeout=SECONDS)


def answer(page, photo: Path | None = None) -> list[float]:
    """The probabilities that the page gives for a photo, or for what it shows."""
    if photo:
        page.locator("#took").evaluate("element => { element.textContent = 'not yet'; }")
        page.set_input_files("#choose-file", photo)
    expect_text(page, r"^\d+ ms$", "#took")
    rows = page.locator("#bars tr")
    return rows.evaluate_all("rows => rows.map(row => Number(row.dataset.probability))")


def pixels_shown(page) -> np.ndarray:
    """What lies on the canvas, (height, width, 3)."""
    data = page.locator("#photo").evaluate("canvas => canvas.toDataURL('image/png')")
    png = base64.b64decode(data.partition(",")[2])
    return np.array(Image.open(io.BytesIO(png)).convert("RGB"))


def expected(session, pixels: np.ndarray) -> np.ndarray:
    return session.run(None, {"photo": pixels})[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("options", [PHONE, LAPTOP], ids=["phone", "laptop"])
def test_a_photo_is_answered_as_in_python(options, scheme, visit, leaf, session):
    page = visit(options=options, color_scheme=scheme)
    ready(page)
    given = answer(page, leaf)
    wanted = expected(session, pixels_shown(page))
    assert given == pytest.approx(wanted, abs=1e-3)
    photo = read_image(leaf)
    assert pixels_shown(page).shape == photo.shape
    assert abs(pixels_shown(page).astype(int) - photo).mean() < 1  # two JPEG decoders
    best = METADATA["classes"][int(np.argmax(wanted))].replace("_", " ")
    expect_text(page, f"^{best}$")
    expect_text(page, f"^{max(wanted):.0%}$", "#best")
    assert page.get_by_role("status").inner_text() == f"{best}, {max(wanted):.0%}"
    assert page.locator("#advice").inner_text() == ""
    width, height = options["viewport"].values()
    assert page.evaluate("document.documentElement.scrollHeight") <= height
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#take").is_visible() == (options is PHONE)
    for button in page.locator("button:visible, summary").all():
        assert min(button.bounding_box()["height"], button.bounding_box()["width"]) >= 44
    page.locator("summary").click()
    assert "Tiny" in page.locator("#facts").inner_text()


def test_the_page_of_a_run_answers_as_its_exported_file(
    visit, served, little_run, sample, leaf, tmp_path
):
    """`predict` reads photos much larger than the input at a reduced scale first; this does not."""
    from lite0ca.__main__ import main
    from lite0ca.formats.opening import open_file

    command = ["export", little_run, "--web", served.root / "run", "--num-workers", 0]
    assert main([*map(str, command), "--output-dir", str(tmp_path / "export")]) == 0
    metadata, network = open_file(next((tmp_path / "export").glob("*_photo.onnx")))
    (half,) = (tmp_path / "export").glob("*_page.onnx")
    assert gzip.decompress((served.root / "run/model.packed").read_bytes()) == half.read_bytes()
    of_photo = network.exported.session.of_photo
    page = visit("run")
    ready(page)
    rows = page.locator("#bars tr")
    for photo in [leaf, *sorted(sample.parent.glob("*/*.jpg"))[::60]]:
        given, (expected, distance) = answer(page, photo), of_photo(read_image(photo))
        assert given == pytest.approx(expected, abs=0.03), photo
        if abs(distance - 1) > 0.03:
            never_sure = page.locator("#advice").inner_text().startswith("Unlike")
            assert never_sure == (distance > 1), photo
        best = int(np.argmax(given))
        assert metadata["classes"][best].replace("_", " ") in rows.nth(best).inner_text().lower()


def test_every_kind_of_photo(visit, leaf, session, tmp_path):
    """Turned by EXIF, transparent, very large, long and thin."""
    page = visit(options=LAPTOP)
    ready(page)
    photo = Image.open(leaf).convert("RGB")
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    glass = photo.convert("RGBA")
    glass.putalpha(Image.linear_gradient("L").resize(photo.size))
    glass.save(tmp_path / "glass.png")
    photo.resize((4000, 3000)).save(tmp_path / "large.jpg")
    photo.resize((14000, 330)).save(tmp_path / "thin.jpg")
    smaller = {"large.jpg": (2309, 1732), "thin.jpg": (13448, 317)}
    for path in sorted(tmp_path.iterdir()):
        given = answer(page, path)
        shown = pixels_shown(page)
        assert given == pytest.approx(expected(session, shown), abs=1e-3), path.name
        python = read_image(path)
        if size := smaller.get(path.name):
            python = np.array(Image.fromarray(python).resize(size, Image.Resampling.BOX))
        assert shown.shape == python.shape, path.name
        assert abs(shown.astype(int) - python).mean() < 1.5, path.name


def test_offline_after_the_first_visit(visit, served, leaf, session):
    page = visit()
    ready(page)
    first = answer(page, leaf)
    kept(page)
    served.asked.clear()
    served.down = True
    page.context.set_offline(True)
    page.reload()
    ready(page)
    assert answer(page, leaf) == pytest.approx(first, abs=1e-6)
    assert page.evaluate("crossOriginIsolated")
    served.down = False
    assert served.asked == []


def kept(page) -> None:
    """Wait until the service worker has everything."""
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    page.locator("body").evaluate(
        "async () => { while (!navigator.serviceWorker.controller)"
        " await new Promise((done) => setTimeout(done, 50)); }"
    )


def test_threads_where_the_page_is_isolated(visit, leaf):
    page = visit(script="Object.defineProperty(navigator, 'hardwareConcurrency', {value: 4})")
    ready(page)
    alone = answer(page, leaf)
    kept(page)
    page.reload()
    ready(page)
    assert answer(page, leaf) == pytest.approx(alone, abs=1e-5)
    page.locator("summary").click()
    assert "2 threads" in page.locator("#facts").inner_text()


def test_an_update_takes_the_place_of_the_old_page(visit, served, model):
    folder = phone_page.write_page(model, METADATA, served.root / "updated")
    page = visit("updated")
    ready(page)
    kept(page)
    phone_page.write_page(model, METADATA | {"name": "Newer"}, folder)
    page.reload()
    page.locator("#reload").click()
    expect_text(page, "Newer", "#facts")
    (name,) = page.evaluate("caches.keys()")
    assert name.endswith(f"/updated/ {version(folder)}")


def test_not_sure_and_trained_on_drawings(visit, leaf):
    page = visit("unsure")
    ready(page)
    assert page.locator("#drawn").is_visible()
    answer(page, leaf)
    expect_text(page, "^Not sure$")
    expect_text(page, r"^Perhaps .+, \d+%$", "#remark")
    advice = page.locator("#advice")
    assert advice.is_visible() and advice.inner_text().lower() == not_sure_advice("en")
    assert page.get_by_role("status").inner_text() == f"Not sure: {not_sure_advice('en')}"
    assert page.locator(".percent").all_inner_texts()[0].endswith("%")


@pytest.mark.parametrize(
    ("grey", "locale", "said", "remark"),
    [
        (90, "en-US", "^(brown spot|healthy|leaf blast)$", "^Answered on this device$"),
        (150, "en-US", "^Not sure$", r"^Perhaps .+, \d+%$"),
        (250, "vi-VN", "^Có lẽ không phải lá cây$", r"^Nếu đúng là lá: .+, \d+%$"),
    ],
)
def test_a_photo_unlike_the_training_photos_is_never_sure(
    grey, locale, said, remark, visit, tmp_path
):
    Image.new("RGB", (90, 70), (grey, grey, grey)).save(tmp_path / "grey.png")
    page = visit("knowing", locale=locale)
    answer(page, tmp_path / "grey.png")
    expect_text(page, said)
    expect_text(page, remark, "#remark")
    unlike = {"en-US": "unlike the photos it learned from", "vi-VN": "không giống các ảnh mô hình"}
    shown = page.locator("#advice").inner_text().lower()
    assert shown.startswith(unlike[locale]) if grey > 128 else shown == ""
    assert page.evaluate("document.documentElement.scrollWidth") == 360


# The live view looks every 50 ms.
HASTE = "const later = setTimeout; setTimeout = (call, ms) => later(call, ms === 6e4 ? ms : ms / 9)"
LISTEN = """() => {
    const [spoken, bars] = ["spoken", "bars"].map((id) => document.getElementById(id));
    window.heard = [];
    window.looks = 0;
    const keep = () => spoken.textContent && heard.push(spoken.textContent);
    new MutationObserver(keep).observe(spoken, {childList: true});
    new MutationObserver(() => looks++).observe(bars, {attributes: true, subtree: true});
}"""

# One frame is red and answered; the next is blue, and the stop comes before its answer.
STOP_AT_A_FRAME = """(button) => new Promise((done) => {
    const [context, draw] = [CanvasRenderingContext2D.prototype, "drawImage"];
    const original = context[draw];
    const colors = ["red", "blue"];
    context[draw] = function (...given) {
        original.apply(this, given);
        this.fillStyle = colors.shift();
        this.fillRect(0, 0, this.canvas.width, this.canvas.height);
        if (colors.length) return;
        context[draw] = original;
        queueMicrotask(() => { const before = heard.length; button.click(); done(before); });
    };
})"""
SHOWN_IS_HEARD = """async () => {
    const shown = () => ["answer", "best"].map((id) => document.getElementById(id).innerText);
    while (heard.at(-1) !== shown().join(", ").toLowerCase())
        await new Promise((done) => setTimeout(done, 50));
}"""


def test_the_camera(visit):
    page = visit(permissions=["camera"], script=HASTE)
    ready(page)
    page.evaluate(LISTEN)
    page.locator("#point").focus()
    page.keyboard.press("Enter")
    page.locator("#live").wait_for()
    first = answer(page)
    assert sum(first) == pytest.approx(1, abs=1e-4) and page.locator("#video").is_visible()
    assert page.evaluate("document.activeElement.id") == "point"
    page.locator("body").evaluate(
        "async () => { while (looks < 6) await new Promise((done) => setTimeout(done, 50)); }"
    )
    assert len(page.evaluate("heard")) == 1  # an answer, not each look
    track = page.evaluate_handle("document.querySelector('video').srcObject.getVideoTracks()[0]")
    for hidden in (True, False):
        page.evaluate(
            "hidden => { Object.defineProperty(document, 'hidden', {value: hidden,"
            " configurable: true}); document.dispatchEvent(new Event('visibilitychange')); }",
            hidden,
        )
        assert track.evaluate("track => track.enabled") is not hidden
    before = page.locator("#point").evaluate(STOP_AT_A_FRAME)
    assert track.evaluate("track => track.readyState") == "ended"
    # The last frame stays with its answer.
    assert page.locator("#photo").is_visible() and not page.locator("#video").is_visible()
    assert sum(answer(page)) == pytest.approx(1, abs=1e-4)
    page.locator("body").evaluate(SHOWN_IS_HEARD)
    assert len(page.evaluate("heard")) == before + 1  # not the red frame's answer, beside the blue


def test_what_goes_wrong_is_said(visit, served, tmp_path):
    page = visit()
    ready(page)
    page.locator("#point").click()  # nobody allowed it
    expect_text(page, "camera was refused")
    (tmp_path / "notes.txt").write_text("no photo")
    page.set_input_files("#choose-file", tmp_path / "notes.txt")
    expect_text(page, "cannot be read as a photo")
    assert not page.locator("#retry").is_visible()


def test_a_broken_model_and_a_retry(visit, served, model, leaf):
    page = visit("broken")
    expect_text(page, "file is damaged")
    page.set_input_files("#choose-file", leaf)
    expect_text(page, "file is damaged")
    shutil.copy(served.root / "page/model.packed", served.root / "broken")
    page.locator("#retry").click()
    expect_text(page, r"\d+ ms", "#took")  # of the photo that was chosen meanwhile
    assert sum(answer(page, leaf)) == pytest.approx(1, abs=1e-4)
    (served.root / "broken/model.packed").write_bytes(b"cut short")
    page = visit("broken")
    expect_text(page, "file is damaged")


def test_no_other_origin_can_be_reached(visit, served):
    """Neither the page nor its worker could send a photo away if they tried."""
    with serving(served.root) as other:
        page = visit(said=[])  # the browser complains on the console
        ready(page)
        for tell in (page, page.workers[0]):
            gone = tell.evaluate(
                "url => fetch(url, {method: 'POST', mode: 'no-cors', body: 'x'})"
                ".then(() => 'sent', () => 'refused')",
                origin(other),
            )
            assert gone == "refused"
        assert other.asked == []


@pytest.mark.parametrize(
    "event", ["DragEvent('drop', {dataTransfer: it", "ClipboardEvent('paste', {clipboardData: it"]
)
def test_dropped_or_pasted(event, visit, leaf, session):
    page = visit(options=LAPTOP)
    ready(page)
    page.evaluate(
        """text => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const it = new DataTransfer();
            it.items.add(new File([bytes], "leaf.jpg", {type: "image/jpeg"}));
            document.body.dispatchEvent(new EVENT, bubbles: true, cancelable: true}));
        }""".replace("EVENT", event),
        base64.b64encode(leaf.read_bytes()).decode(),
    )
    assert answer(page) == pytest.approx(expected(session, pixels_shown(page)), abs=1e-3)


def test_by_keyboard_and_in_vietnamese(visit, leaf):
    page = visit(locale="vi-VN")
    page.on("filechooser", lambda chooser: chooser.set_files(leaf))
    expect_text(page, "Sẵn sàng")
    assert page.locator("th").all_inner_texts() == ["Đốm nâu", "Khỏe mạnh", "Đạo ôn"]
    controls = page.locator("button:visible, summary")
    for control in controls.all():  # in the order in which they are seen, and seen
        page.keyboard.press("Tab")
        assert control.evaluate("element => element === document.activeElement")
        assert control.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    assert controls.count() == 5
    page.keyboard.press("Enter")
    assert page.locator("#facts").is_visible()
    for _ in range(3):
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")  # take a photo
    assert sum(answer(page)) == pytest.approx(1, abs=1e-4)
    spoken = page.get_by_role("status").inner_text()
    assert re.fullmatch(r"(đốm nâu|khỏe mạnh|đạo ôn), \d+%", spoken)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect_text(page, "^(brown spot|healthy|leaf blast)$")
    assert page.locator("html").get_attribute("lang") == "en"
    page.reload()
    ready(page)  # the choice is remembered
    english, vietnamese = page.evaluate(
        "import('./words.js').then(({WORDS}) => [WORDS.en, WORDS.vi].map((words) =>"
        " JSON.stringify(words, (key, value) => typeof value === 'object' ? value : 'said')))"
    )
    assert english == vietnamese
