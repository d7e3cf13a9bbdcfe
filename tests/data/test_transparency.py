"""Images with transparency, against Pillow's pixels and a float64 mixture of colour and ground."""
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from src.common.errors import DataError
from src.data.preprocess import decode_image

LETTERS = np.zeros((40, 90), np.uint8)
cv2.putText(LETTERS, "Word", (6, 30), 0, 1, 255, 2, cv2.LINE_AA)


def picture(mode: str, level: int) -> Image.Image:
    """Letters of one grey level; the ground is transparent, and of the opposite level where alpha is dropped."""
    hidden = 255 - level
    grey = Image.fromarray(np.where(LETTERS > 0, level, hidden).astype(np.uint8))
    alpha = Image.fromarray(LETTERS)
    if mode == "RGBA":
        return Image.merge("RGBA", (grey, grey, grey, alpha))
    return Image.merge("LA", (grey, alpha))


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def mixed(image: Image.Image) -> np.ndarray:
    """Independent reference in float64: over white, or over black where the visible part is light; BGR."""
    pixels = np.array(image.convert("RGBA")).astype(np.float64)
    share = pixels[..., 3:] / 255
    light = (pixels[..., :3] @ [0.299, 0.587, 0.114] * share[..., 0]).sum() / max(share.sum(), 1e-9) > 127.5
    return (pixels[..., :3] * share + (0 if light else 255) * (1 - share))[..., ::-1]


@pytest.mark.parametrize("level", [0, 60, 200, 255])
@pytest.mark.parametrize(("mode", "kind", "options"), [
    ("RGBA", "PNG", {}), ("LA", "PNG", {}), ("RGBA", "WEBP", {"lossless": True, "exact": True}), ("RGBA", "TIFF", {}),
    ("RGBA", "JPEG2000", {"irreversible": False})])
def test_letters_stand_on_a_ground_of_the_other_kind(mode, kind, options, level):
    image = picture(mode, level)
    decoded = decode_image(saved(image, kind, **options))
    assert np.abs(decoded - mixed(image)).max() <= 0.5
    ground = decoded[LETTERS == 0]
    assert (ground == (255 if level < 128 else 0)).all()


def test_palette_with_alpha_of_entries_and_a_transparent_colour():
    grey = Image.fromarray(np.where(LETTERS > 100, 30, 200).astype(np.uint8))
    palette = grey.convert("P")
    entry = int(np.asarray(palette)[0, 0])
    for image, options in ((palette, {"transparency": entry}), (grey, {"transparency": 200}),
                           (grey.convert("RGB"), {"transparency": (200, 200, 200)}),
                           (grey.point(lambda level: 255 * (level > 100)).convert("1"), {"transparency": 1})):
        decoded = decode_image(saved(image, **options))
        assert (decoded[LETTERS <= 100] == 255).all(), image.mode
        assert (decoded[LETTERS > 100] < 60).all(), image.mode


@pytest.mark.parametrize("version", ["GIF87a", "GIF89a"])
def test_gif(version):
    """The first picture of an animation, with its transparent colour, as Pillow has it."""
    grey = Image.fromarray(np.where(LETTERS > 100, 30, 200).astype(np.uint8))
    if version == "GIF87a":
        data = saved(grey, "GIF")
        np.testing.assert_array_equal(decode_image(data), np.asarray(grey)[..., None].repeat(3, 2))
    else:
        palette = grey.quantize(4)
        data = saved(palette, "GIF", transparency=int(np.asarray(palette)[0, 0]), save_all=True,
                     append_images=[palette.rotate(180)])
        decoded = decode_image(data)
        assert (decoded[LETTERS <= 100] == 255).all() and (decoded[LETTERS > 100] == 30).all()
    assert data.startswith(version.encode())
    with pytest.raises(DataError, match="not a readable image"):
        decode_image(data[:len(data) // 2])


def test_half_transparent_entries_of_a_palette():
    image = Image.fromarray(np.arange(90, dtype=np.uint8)[None].repeat(40, 0)).convert("P")
    data = saved(image, transparency=bytes(range(0, 180, 2)))
    assert np.abs(decode_image(data) - mixed(Image.open(io.BytesIO(data)))).max() <= 0.5


def test_16_bits_with_alpha_keep_the_upper_bytes():
    deep = np.random.default_rng(0).integers(0, 65536, (9, 14, 4), np.uint16)
    upper = Image.fromarray((deep >> 8).astype(np.uint8)[..., [2, 1, 0, 3]])
    assert np.abs(decode_image(cv2.imencode(".png", deep)[1]) - mixed(upper)).max() <= 0.5


def test_opaque_alpha_changes_nothing_and_nothing_visible_is_white():
    colours = np.random.default_rng(1).integers(0, 256, (9, 14, 3), np.uint8)
    for alpha, expected in ((255, colours), (0, np.full_like(colours, 255))):
        image = cv2.imencode(".png", np.dstack([colours, np.full((9, 14), alpha, np.uint8)]))[1]
        np.testing.assert_array_equal(decode_image(image), expected)


def test_the_fourth_byte_of_a_bmp_is_not_alpha():
    colours = np.random.default_rng(2).integers(0, 256, (9, 14, 4), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours[..., [2, 1, 0, 3]]).save(buffer, "BMP")
    np.testing.assert_array_equal(decode_image(buffer.getvalue()), colours[..., :3])
