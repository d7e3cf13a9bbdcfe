"""demo.py: what the page answers, and the page itself in a real browser, at a desk and on a phone."""
import re
import shutil
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import demo
from src.common.errors import ConfigError, DataError
from src.demo.alignment import draw_alignment
from src.demo.reading import answer
from src.recogniser import Character, Recogniser
from tests.conftest import REPO

WORD = REPO / "docs" / "pictures" / "word.png"
SAMPLES = sorted((REPO / "src" / "demo" / "samples").iterdir())


def test_a_word_is_read_as_predict_reads_it():
    found, expected = answer(str(WORD)), Recogniser().read(WORD)
    assert (found.text, found.confidence) == (expected.text, expected.confidence)
    assert found.rows[0] == (found.text, found.confidence) and 2 <= len(found.rows) <= 5
    assert found.picture.shape[1] == 720 and found.picture.dtype == np.uint8


def test_a_photograph_is_answered_with_its_words_in_order(tmp_path, monkeypatch):
    word = cv2.imread(str(WORD))
    height, width = word.shape[:2]
    photograph = np.full((4 * height, 3 * width, 3), 255, np.uint8)
    photograph[height:2 * height, width:2 * width] = photograph[2 * height:3 * height, :width] = word
    cv2.imwrite(str(tmp_path / "street.png"), photograph)
    boxes = [[(width, height), (2 * width, 2 * height)], [(0, 2 * height), (width, 3 * height)]]
    corners = [np.array([[a, b], [c, b], [c, d], [a, d]], np.float32) for (a, b), (c, d) in reversed(boxes)]
    monkeypatch.setattr("src.demo.reading._detector", lambda: SimpleNamespace(find=lambda image: np.stack(corners)))
    found = answer(str(tmp_path / "street.png"), whole_photograph=True)
    text = answer(str(WORD)).text
    assert found.text == f"{text} {text}" and [row[0] for row in found.rows] == [text, text]
    assert found.confidence == min(row[1] for row in found.rows) and found.picture.shape == photograph.shape


@pytest.mark.parametrize("words", ["harvest labour", "harvest,labour;\n  labour"])
def test_words_to_choose_from(words):
    assert answer(str(WORD), words).text in ("harvest", "labour")


def test_letters_stand_under_their_columns():
    image = np.full((32, 100, 3), 255, np.uint8)
    picture = draw_alignment(image, [Character("a", (1, 2), (10.0, 30.0)), Character("b", (8, 9), (60.0, 80.0))])
    strip = picture[-60:]
    ink = np.flatnonzero((strip != 255).any(axis=(0, 2))) / 7.2  # columns of the image
    assert ink.min() == pytest.approx(10, abs=0.5) and ink.max() == pytest.approx(80, abs=0.5)
    assert not ((ink > 31) & (ink < 59)).any()


@pytest.mark.parametrize(("make", "message"), [
    (lambda path: None, "Drop an image first, or take one of the samples"),
    (lambda path: path.write_bytes(b"<svg>") and str(path), r"This file cannot be read as an image \("),
    (lambda path: path.write_bytes(b"") or str(path), r"This file cannot be read as an image \("),
])
def test_rubbish_gets_a_clear_answer(tmp_path, make, message):
    with pytest.raises(DataError, match=message) as caught:
        answer(make(tmp_path / "x.png"))
    assert str(tmp_path) not in str(caught.value), "no paths of the server on the page"


def test_too_many_words():
    with pytest.raises(DataError, match="The box takes 5000 words, these are 5001"):
        answer(str(WORD), " ".join(f"w{number}" for number in range(5001)))


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "src.demo.page", raising=False)
    with pytest.raises(ConfigError, match=r"needs gradio; .*pip install -r requirements-demo\.txt"):
        demo.main([])


def test_samples_are_small_images():
    assert len(SAMPLES) >= 4 and sum(path.stat().st_size for path in SAMPLES) < 60_000
    assert all(cv2.imread(str(path)) is not None for path in SAMPLES)


@pytest.fixture(scope="module")
def page():
    pytest.importorskip("gradio", reason="needs `pip install -r requirements-demo.txt`")
    from src.demo.page import serve

    blocks, address = serve("127.0.0.1", 0, 1, wait=False)
    yield address
    blocks.close()


@pytest.fixture(scope="module")
def chromium():
    pytest.importorskip("playwright", reason="needs `pip install playwright==1.65.2`")
    program = shutil.which("chromium")
    if not program:
        pytest.skip("needs a browser: `apt-get install chromium`")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


READ = "document.querySelector('#reading textarea').value != ''"


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height", "phone"), [(1200, 800, False), (390, 844, True)], ids=["desk", "phone"])
def test_upload_and_read(page, chromium, tmp_path, width, height, phone):
    context = chromium.new_context(viewport={"width": width, "height": height}, is_mobile=phone, has_touch=phone)
    tab, asked = context.new_page(), []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page)
    tab.locator("#image input[type=file]").set_input_files(str(WORD))
    tab.wait_for_function(READ, timeout=60_000)
    assert tab.locator("#reading textarea").input_value() == Recogniser().read(WORD).text
    tab.wait_for_selector("#picture img")
    tab.screenshot(path=str(tmp_path / "page.png"), full_page=True)
    assert cv2.imread(str(tmp_path / "page.png")).std() > 20
    assert tab.evaluate("document.documentElement.scrollWidth") <= width, "no scrolling sideways"
    box = tab.locator("#read").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["height"] >= 36
    assert [url for url in asked if not url.startswith((page, "data:", "blob:"))] == [], "works offline"
    tab.locator("#lexicon textarea").fill("harvest, labour")
    tab.locator("#read").click()
    tab.wait_for_function("['harvest', 'labour'].includes(document.querySelector('#reading textarea').value)",
                          timeout=60_000)
    context.close()


@pytest.mark.slow
def test_rubbish_and_files_that_are_too_large(page, chromium, tmp_path):
    (tmp_path / "fake.png").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "large.png"), np.random.default_rng(0).integers(0, 255, (900, 900, 3), np.uint8))
    for name, message in (("fake.png", "cannot be read as an image"), ("large.png", "(?i)size|large")):
        tab = chromium.new_page()
        tab.goto(page)
        tab.locator("#image input[type=file]").set_input_files(str(tmp_path / name))
        toast = tab.locator("[data-testid=toast-body]").first
        toast.wait_for(timeout=60_000)
        assert re.search(message, toast.inner_text()), toast.inner_text()
        tab.close()


@pytest.mark.slow
def test_samples_are_at_hand(page, chromium):
    tab = chromium.new_page()
    tab.goto(page)
    tab.locator("button.gallery-item").first.click()
    tab.wait_for_function(READ, timeout=60_000)
    assert tab.locator("#reading textarea").input_value() == Recogniser().read(SAMPLES[0]).text
    tab.close()
