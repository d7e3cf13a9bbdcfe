"""Image bytes to network input, against Pillow and a plain bilinear reference."""
import io
import os
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from src.common.errors import ConfigError, DataError
from src.data.preprocess import InputSpec, decode_image, read_image, resize, to_batch
from tests.fuzz.targets import png_claiming


def drawn(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A word on a coloured gradient; (H, W, 3) uint8 BGR."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 1, width)[None, :, None]
    image = (ramp * rng.integers(60, 255, 3) + (1 - ramp) * rng.integers(60, 255, 3)).repeat(height, 0).astype(np.uint8)
    cv2.putText(image, "Word", (width // 12, height * 3 // 4), 0, height / 40, rng.integers(0, 60, 3).tolist(), 2)
    return image


def png(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Independent reference in float64: sample between pixel centres, borders repeated, no antialiasing."""
    def axis(size, target):
        centre = (np.arange(target) + 0.5) * size / target - 0.5
        low = np.floor(centre).astype(int)
        return np.clip(low, 0, size - 1), np.clip(low + 1, 0, size - 1), centre - low
    top, bottom, fy = axis(image.shape[0], height)
    left, right, fx = axis(image.shape[1], width)
    image = image.astype(np.float64)
    rows = image[top] * (1 - fy)[:, None, None] + image[bottom] * fy[:, None, None]
    return rows[:, left] * (1 - fx)[None, :, None] + rows[:, right] * fx[None, :, None]


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_png_of_every_kind_decodes_as_pillow_does(mode):
    picture = Image.fromarray(drawn(40, 90)[..., ::-1]).convert(mode)
    expected = np.array(picture.convert("RGB"))[..., ::-1]
    image = decode_image(png(picture))
    assert image.dtype == np.uint8 and image.shape == (40, 90, 3)
    np.testing.assert_array_equal(image, expected)


def test_16_bit_png_keeps_the_upper_byte():
    wide = (np.arange(40 * 90, dtype=np.uint32).reshape(40, 90) * 18).astype(np.uint16)
    image = decode_image(cv2.imencode(".png", wide)[1])
    assert image.shape == (40, 90, 3)
    assert np.abs(image.astype(int) - (wide >> 8)[..., None]).max() <= 1


def test_exif_orientation_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    buffer = io.BytesIO()
    Image.fromarray(drawn(40, 90)[..., ::-1]).save(buffer, "JPEG", exif=exif)
    assert cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR).shape == (90, 40, 3)
    assert decode_image(buffer.getvalue()).shape == (40, 90, 3)


def test_a_bad_colour_profile_is_no_news(capfd):
    """libpng would print a warning for every such image of every epoch."""
    image = np.random.default_rng(3).integers(0, 256, (9, 14, 3), np.uint8)
    for mode in ("RGB", "P", "L"):
        file = io.BytesIO()
        Image.fromarray(image).convert(mode).save(file, "PNG", icc_profile=b"no profile at all" * 40)
        data = file.getvalue()
        assert b"iCCP" in data and cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None
        assert "libpng warning" in capfd.readouterr().err, "the test needs one that libpng complains of"
        found = decode_image(data)
        np.testing.assert_array_equal(found, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
        capfd.readouterr()
        decode_image(data)
        assert capfd.readouterr().err == ""
    for cut in (20, 34, 38, 45, 200):
        with pytest.raises(DataError):
            decode_image(data[:cut])


@pytest.mark.parametrize("extension", [".jpg", ".png", ".bmp", ".webp"])
def test_truncated_and_foreign_bytes(extension, capfd):
    data = cv2.imencode(extension, drawn(40, 90))[1].tobytes()
    for broken in (data[:len(data) * 2 // 3], data[:-1], b"this is no image", data[:4]):
        with pytest.raises(DataError, match=r"not a readable image.*\d+ bytes"):
            decode_image(broken)
    with pytest.raises(DataError, match="0 bytes"):
        decode_image(b"")


@pytest.mark.parametrize(("data", "said"), [
    (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS .*git lfs pull"), (b"\n<!DOCTYPE html>", "a web page"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"), (b"%PDF-1.7", "PDF"),
    (b"\0\0\0\x18ftypheic\0\0", "HEIC"), (b"\0\0\0\x1cftypavif\0\0", "AVIF"),
    *[(kind, kind) for kind in ("ICO", "PCX")], *[(bits, f"TIFF of {bits} bits a sample") for bits in (12, 32)]])
def test_other_files_are_named(data, said, capfd):
    """What people have in the place of an image: the error says what it is and what to do."""
    if isinstance(data, str):
        buffer = io.BytesIO()
        Image.fromarray(drawn(32, 32)).save(buffer, data)
        data = buffer.getvalue()
    elif isinstance(data, int):
        buffer = io.BytesIO()
        Image.fromarray(np.zeros((32, 32), np.float32)).save(buffer, "TIFF")
        whole = buffer.getvalue()
        entry = struct.pack("<HHI", 258, 3, 1)
        assert entry + struct.pack("<H", 32) in whole
        data = whole.replace(entry + struct.pack("<H", 32), entry + struct.pack("<H", data))
    with pytest.raises(DataError, match=f"not a readable image .*bytes.: it is .*{said}"):
        decode_image(data)
    assert capfd.readouterr().err == "", "OpenCV's own lines name no file"


def test_read_image_names_the_file(tmp_path):
    path = tmp_path / "bild ä.png"
    path.write_bytes(png(Image.fromarray(drawn(40, 90)[..., ::-1])))
    np.testing.assert_array_equal(read_image(path), drawn(40, 90))
    path.write_text("text")
    with pytest.raises(DataError, match="bild ä.png: not a readable image"):
        read_image(str(path))
    with pytest.raises(DataError, match="gone.png: cannot be read: No such file"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(DataError, match="Is a directory"):
        read_image(tmp_path)
    with pytest.raises(DataError, match="not a path"):
        read_image("a\0b.png")


def test_trouble_of_the_machine_is_not_a_corrupted_image(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(24, "Too many open files", "a.png")
    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(OSError, match="Too many open files"):
        read_image("a.png")


def test_read_image_of_many_bytes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (500, 700, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "big.bmp"), noise)
    assert os.path.getsize(tmp_path / "big.bmp") > 1 << 20
    np.testing.assert_array_equal(read_image(tmp_path / "big.bmp"), noise)


@pytest.mark.parametrize("size", [(31, 100), (64, 200), (17, 41), (120, 333), (8, 300), (1, 1), (90, 7)])
@pytest.mark.parametrize("spec", [InputSpec(), InputSpec(48, 161)])
def test_resize_equals_bilinear_reference(size, spec):
    image = drawn(*size) if min(size) > 1 else np.full((1, 1, 3), 77, np.uint8)
    result = resize(image, spec)
    assert result.shape == (spec.height, spec.width, 3) and result.dtype == np.uint8
    assert np.abs(result - bilinear(image, spec.height, spec.width)).max() <= 1


def test_batch_is_normalised_planes_in_bgr_order():
    images = [drawn(h, w, i) for i, (h, w) in enumerate([(32, 100), (31, 77), (60, 240), (5, 5)])]
    spec = InputSpec()
    batch = to_batch(images, spec)
    assert batch.shape == (4, 3, 32, 100) and batch.dtype == np.float32 and batch.flags.c_contiguous
    for image, row in zip(images, batch, strict=True):
        expected = (cv2.resize(image, (100, 32)).astype(np.float64) - 127.5) / 127.5
        np.testing.assert_allclose(row, expected.transpose(2, 0, 1), atol=2e-7)
        assert np.abs(to_batch([image], spec)[0] - row).max() <= 1e-6
    assert batch.min() >= -1 and batch.max() <= 1
    blue = np.zeros((32, 100, 3), np.uint8)
    blue[..., 0] = 255
    assert to_batch([blue], spec)[0, :, 0, 0].tolist() == [1.0, -1.0, -1.0]


@pytest.mark.parametrize("height, width", [(1, 1), (32, 1), (1, 100), (33, 101)])
def test_batch_of_unusual_sizes(height, width):
    spec = InputSpec(height, width, mean=100, scale=50)
    image = drawn(40, 90)
    expected = (cv2.resize(image, (width, height)).reshape(height, width, 3).astype(np.float64) - 100) / 50
    np.testing.assert_allclose(to_batch([image, image], spec)[1], expected.transpose(2, 0, 1), atol=1e-6)


def test_empty_batch_and_wrong_arrays():
    assert to_batch([], InputSpec()).shape == (0, 3, 32, 100)
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32),
                  np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(DataError, match="uint8"):
            resize(wrong, InputSpec())
    for bad in ({"width": 0}, {"height": 0}, {"height": -1}, {"scale": 0}):
        with pytest.raises(ConfigError):
            InputSpec(**bad)
    assert (InputSpec(1, 1).height, InputSpec(1, 1).width) == (1, 1)


def test_real_images(shared_data):
    paths = sorted((shared_data / "iiit5k" / "train").glob("*.png"))[:40]
    assert len(paths) == 40
    for path in paths:
        image = read_image(path)
        np.testing.assert_array_equal(image, np.array(Image.open(path).convert("RGB"))[..., ::-1], err_msg=str(path))
        assert np.abs(resize(image, InputSpec()) - bilinear(image, 32, 100)).max() <= 1, path


def test_a_chunk_longer_than_its_png_never_reaches_opencv(monkeypatch):
    """OpenCV takes the memory that the chunk claims to need, up to 4 GiB."""
    whole = png(Image.fromarray(drawn(20, 40)))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    # A length that is not the file's, also where the file is cut off inside of it. All of them are short and harmless.
    claims = whole[:33] + (len(whole) + 100).to_bytes(4, "big") + whole[37:]
    end = whole[:-12] + (200).to_bytes(4, "big") + whole[-8:]
    holds = whole[:-12] + (3).to_bytes(4, "big") + b"IENDabc" + whole[-4:]
    for data in (claims, claims[:60], whole[:36], whole[:-16], end, holds):
        with pytest.raises(DataError, match="not a readable image, or a truncated one"):
            decode_image(data)


def test_bytes_behind_the_end_of_a_png_do_not_matter():
    whole = png(Image.fromarray(drawn(20, 40)))
    for more in (b"x", b"\xff" * 100):
        np.testing.assert_array_equal(decode_image(whole + more), decode_image(whole))


def test_more_pixels_than_are_decoded():
    for width, height in ((100_000, 100_000), (1 << 13, (1 << 12) + 1)):
        with pytest.raises(DataError, match="more pixels than are decoded .33,554,432"):
            decode_image(png_claiming(width, height))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "I;16"])
def test_jpeg_2000_by_pillow(mode):
    """Lossless, so Pillow's own pixels come back."""
    picture = Image.fromarray(drawn(40, 90)[..., ::-1])
    picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257) if mode == "I;16" else \
        picture.convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG2000")
    expected = np.asarray(picture) >> 8 if mode == "I;16" else np.asarray(picture.convert("RGB"))[..., ::-1]
    image = decode_image(buffer.getvalue())
    np.testing.assert_array_equal(image, np.broadcast_to(expected.reshape(40, 90, -1), (40, 90, 3)))
    for size in (20, 100):
        with pytest.raises(DataError, match="not a readable image"):
            decode_image(buffer.getvalue()[:size])
