"""Near duplicates of test images: changed copies are found, other images and other words are not."""
import cv2
import numpy as np
import pytest

from tools.near_duplicates import NearDuplicates, difference_hash, standardised


def word_image(text="SALE 24", seed=1, size=(40, 160), shift=0):
    """Letters on a background that gets brighter to one side."""
    rng = np.random.default_rng(seed)
    image = np.full((*size, 3), rng.integers(120, 200, 3), np.uint8)
    image = np.clip(image + np.linspace(-40, 40, size[1])[None, :, None], 0, 255).astype(np.uint8)
    cv2.putText(image, text, (6 + shift, size[0] - 10), cv2.FONT_HERSHEY_DUPLEX, size[0] / 42, (20, 30, 60), 2,
                cv2.LINE_AA)
    return image


@pytest.fixture
def near():
    found = NearDuplicates()
    found.add(word_image("OTHER", seed=2), "Other", "test/0.png")
    found.add(word_image(), "Sale-24", "test/1.png")
    return found


@pytest.mark.parametrize("change", [
    lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], cv2.IMREAD_COLOR),
    lambda image: cv2.convertScaleAbs(image, alpha=0.8, beta=20),
])
def test_changed_copies_are_found_whatever_their_words(near, change):
    copy = change(word_image())
    assert "nearly test/1.png (correlation" in near.find(copy, "sale 24")
    assert "nearly test/1.png (correlation" in near.find(copy, "mislabelled")


def test_another_cut_is_found_for_the_same_word_only(near):
    cut = word_image()[2:-1, 3:-2]
    correlation = float(standardised(cv2.cvtColor(word_image(), cv2.COLOR_BGR2GRAY))
                        @ standardised(cv2.cvtColor(cut, cv2.COLOR_BGR2GRAY)))
    assert 0.90 <= correlation < 0.97
    assert "nearly test/1.png, the same word (correlation" in near.find(cut, "SALE24")
    assert near.find(cut, "SALE25") == ""


def test_the_hash_finds_what_the_correlation_does_not(near):
    """A steep tone curve leaves the order of the grey values, and with it the hash, as it is."""
    levels = np.random.default_rng(3).integers(0, 6, (8, 9))
    image, curved = (cv2.resize(np.array(curve, np.uint8)[levels], (90, 40), interpolation=cv2.INTER_NEAREST)
                     for curve in ((50, 90, 130, 170, 210, 250), (0, 2, 4, 6, 8, 250)))
    near.add(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), "menu", "test/2.png")
    curved = cv2.cvtColor(curved, cv2.COLOR_GRAY2BGR)
    assert near.find(curved, "menu") == "nearly test/2.png, the same word (0 of 64 bits differ)"
    assert near.find(curved, "meny") == ""


def test_other_images_are_not_found(near):
    assert near.find(word_image("EXIT", seed=5), "exit") == ""
    assert near.find(np.full((20, 60, 3), 77, np.uint8), "Other") == ""
    assert NearDuplicates().find(word_image(), "Sale-24") == ""


def test_hash_and_correlation_by_their_definition():
    grey = np.random.default_rng(7).integers(0, 256, (8, 9), dtype=np.uint8)
    bits = "".join("1" if grey[y, x + 1] > grey[y, x] else "0" for y in range(8) for x in range(8))
    assert difference_hash(grey) == int(bits, 2)
    a, b = (np.random.default_rng(seed).integers(0, 256, (16, 48), dtype=np.uint8) for seed in (8, 9))
    assert standardised(a) @ standardised(b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-6)
    assert not standardised(np.full((30, 90), 5, np.uint8)).any()
