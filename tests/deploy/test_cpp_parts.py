"""The C++ program's own parts (decoding, resizing, CTC, JSON, names), built with the sanitizers, against Python's."""
import json
import shutil
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

import eval_onnx
from src.common.charset import Charset
from src.common.errors import DataError
from src.data.preprocess import InputSpec, read_image, resize
from src.dataset import create_dataset
from src.deploy.metadata import KEEP_RATIO, ModelInfo, write_sidecar
from src.deploy.onnx.network import OnnxNetwork
from src.reading.greedy import GreedyDecoder
from src.recogniser import Recogniser
from tests import cpp
from tests.word_sets import config


@pytest.fixture(scope="module")
def check():
    """Calls crnn_check; returns the finished process."""
    program = cpp.build("--sanitize", "--check") / "crnn_check"
    return lambda task, *words, lines: cpp.run(program, task, *words, input="".join(f"{x}\n" for x in lines).encode())


def read_all(check, paths, spec=None) -> list[np.ndarray | None]:
    """What the C++ program makes of images: resized to the spec, or as they are; None where it refuses."""
    done = check("images", spec.width, spec.height, lines=paths) if spec else check("pixels", lines=paths)
    assert done.returncode == 0, done.stderr.decode()
    data, images = memoryview(done.stdout), []
    for _ in paths:
        readable, data = data[0], data[1:]
        shape = (spec.height, spec.width) if spec else None
        if readable and not spec:
            shape, data = struct.unpack_from("ii", data), data[8:]
        size = 3 * shape[0] * shape[1] if readable else 0
        images.append(np.frombuffer(data[:size], np.uint8).reshape(*shape, 3) if readable else None)
        data = data[size:]
    assert not data
    return images


def reference(path, spec=None) -> np.ndarray | None:
    try:
        image = read_image(path)
    except DataError:
        return None
    return resize(image, spec) if spec else image


def photograph(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth colours with a little noise: random pixels would hide what JPEG does between blocks."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(0, 256, (5, 7, channels), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image.reshape(height, width, channels) + rng.normal(0, 5, (height, width, channels)), 0, 255).astype(
        np.uint8)


def bmp(bits: int, compression: int = 0, extra: bytes = b"", top_down: bool = False, header: int = 40) -> bytes:
    """A BMP of random pixels, 117 x 43; `extra` holds colour masks or palette."""
    width, height = 117, 43
    pitch = ((width * bits + 7) // 8 + 3) // 4 * 4
    pixels = np.random.default_rng(bits).integers(0, 256, pitch * height, dtype=np.uint8).tobytes()
    if header == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits, compression,
                           len(pixels), 0, 0, 0, 0) + bytes(header - 40)
    offset = 14 + len(head) + len(extra)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + head + extra + pixels


@pytest.fixture(scope="module")
def formats(tmp_path_factory):
    """One file of every format and kind of pixels."""
    folder = tmp_path_factory.mktemp("formats")
    color = Image.fromarray(photograph(43, 117))
    alpha = Image.fromarray(photograph(43, 117, 4))
    dark, light = (Image.merge("RGBA", (*color.point(curve).split(), color.convert("L")))
                   for curve in (lambda level: level // 3, lambda level: 170 + level // 3))
    exif = Image.Exif()
    exif[0x112] = 6  # turned by 90 degrees: to be ignored
    rng = np.random.default_rng(0)
    for name, image, options in (
        ("rgb.png", color, {}), ("l.png", color.convert("L"), {}), ("one.png", color.convert("1"), {}),
        ("la.png", alpha.convert("LA"), {}), ("rgba.png", alpha, {}), ("p.png", color.quantize(200), {}),
        ("p4.png", color.quantize(16), {"bits": 4}), ("p2.png", color.quantize(4), {"bits": 2}),
        ("p1.png", color.quantize(2), {"bits": 1}),
        ("trns.png", color.quantize(99), {"transparency": bytes(range(99))}),
        ("trns_rgb.png", color, {"transparency": (1, 2, 3)}), ("trns_l.png", color.convert("L"), {"transparency": 3}),
        ("dark.png", dark, {}), ("dark_la.png", dark.convert("LA"), {}), ("light.png", light, {}),
        ("none.png", Image.merge("RGBA", (*color.split(), Image.new("L", color.size))), {}),
        ("trns_one.png", color.convert("1"), {"transparency": 0}),
        ("i16.png", Image.fromarray(rng.integers(0, 65536, (43, 117), dtype=np.uint16)), {}),
        ("l.jpg", color.convert("L"), {}), ("cmyk.jpg", color.convert("CMYK"), {}), ("exif.jpg", color, {"exif": exif}),
        ("q10.jpg", color, {"quality": 10}), ("q100.jpg", color, {"quality": 100, "subsampling": 0}),
        ("422.jpg", color, {"subsampling": 1}), ("420.jpg", color, {"subsampling": 2}),
        ("progressive.jpg", color, {"progressive": True}), ("restart.jpg", color, {"restart_marker_rows": 1}),
        ("p.bmp", color.quantize(256), {}), ("rgba.bmp", alpha, {}),
        ("moving.png", color, {"save_all": True, "append_images": [color.rotate(180)]}),
        ("one_colour.png", Image.new("RGB", (117, 43), (9, 90, 200)), {}),
    ):
        image.save(folder / name, **options)
    Image.fromarray(rng.integers(0, 3, (43, 117), np.uint16) * 257).save(folder / "trns_i16.png", transparency=257)
    for channels in (3, 4):
        cv2.imwrite(str(folder / f"{channels}x16.png"), rng.integers(0, 65536, (43, 117, channels), dtype=np.uint16))
    masks = {"565": (0xf800, 0x7e0, 0x1f), "555": (0x7c00, 0x3e0, 0x1f)}
    files = {"24.bmp": bmp(24), "down.bmp": bmp(24, top_down=True), "v5.bmp": bmp(24, header=124), "32.bmp": bmp(32),
             "16.bmp": bmp(16), "core.bmp": bmp(24, header=12), "fields.bmp": bmp(32, 3, bytes(12)),
             **{f"{name}.bmp": bmp(16, 3, struct.pack("<III", *mask)) for name, mask in masks.items()}}
    for bits in (1, 4, 8):
        files[f"pal{bits}.bmp"] = bmp(bits, extra=rng.bytes(4 << bits))
        files[f"pal{bits}_core.bmp"] = bmp(bits, extra=rng.bytes(3 << bits), header=12)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("spec", [None, InputSpec(), InputSpec(17, 160)], ids=["pixels", "32x100", "17x160"])
def test_all_formats_equal_python_to_the_grey_level(check, formats, spec):
    assert len(formats) >= 40
    for path, image in zip(formats, read_all(check, formats, spec), strict=True):
        expected = reference(path, spec)
        assert expected is not None and image is not None, path.name
        np.testing.assert_array_equal(image, expected, err_msg=path.name)


@pytest.fixture(scope="module")
def unknown_to_cpp(tmp_path_factory):
    """Files of the formats that the C++ program does not decode -> the name it must give to each."""
    folder, color = tmp_path_factory.mktemp("unknown"), Image.fromarray(photograph(43, 117))
    alpha = Image.fromarray(photograph(43, 117, 4))
    named = {}
    for name, image, options in (
        ("plain.gif", color.quantize(200), {}), ("holes.gif", color.quantize(99), {"transparency": 3}),
        ("moving.gif", color.quantize(50), {"save_all": True, "append_images": [color.rotate(180).quantize(50)]}),
        ("rgb.tif", color, {}), ("deflate.tif", alpha, {"compression": "tiff_deflate"}),
        ("one.tif", color.convert("1"), {}),
        ("plain.webp", color, {}), ("alpha.webp", alpha, {"lossless": True}),
        ("grey.jp2", color.convert("L"), {}), ("alpha.jp2", alpha, {}),
        ("rgb.ppm", color, {}), ("grey.pgm", color.convert("L"), {}),
    ):
        image.save(folder / name, **options)
        ending = name.partition(".")[2]
        named[folder / name] = {"gif": "GIF", "tif": "TIFF", "webp": "WebP", "jp2": "JPEG 2000"}.get(
            ending, "PBM, PGM or PPM")
    return named


def test_formats_of_python_alone_are_refused_by_name(check, unknown_to_cpp):
    done = check("images", 100, 32, lines=unknown_to_cpp)
    assert done.returncode == 0 and done.stdout == bytes(len(unknown_to_cpp))
    assert done.stderr.decode().splitlines() == [
        f"{path}: a {name} image, which this program does not read: save it as PNG, JPEG or BMP"
        for path, name in unknown_to_cpp.items()]


def test_all_five_programs_see_the_same_pixels(check, formats, unknown_to_cpp, tmp_path, monkeypatch):
    """What the network is fed by the C++ program and by train, eval, predict and eval_onnx, for the same files.

    Of the formats that the C++ program refuses, by the other four.
    """
    spec, seen = InputSpec(width=128), []
    monkeypatch.setattr(OnnxNetwork, "__call__", lambda self, images: (
        seen.extend(images) or np.zeros((31, len(images), 37), np.float32)))
    pixels = np.stack(read_all(check, formats, spec)).transpose(0, 3, 1, 2)
    others = np.stack([reference(path, spec) for path in unknown_to_cpp]).transpose(0, 3, 1, 2)
    formats = [*formats, *unknown_to_cpp]
    pixels = (np.concatenate([pixels, others]).astype(np.float32) - 127.5) / 127.5
    expected = dict(zip([path.name for path in formats], pixels, strict=True))
    assert len(expected) == len(formats)
    words = tmp_path / "set" / "gt.txt"
    words.parent.mkdir()
    for path in formats:
        shutil.copy(path, words.parent)
    words.write_text("".join(f"{path.name}\tword\n" for path in formats))

    for is_training in (True, False):
        batches = create_dataset("list", str(words), is_training=is_training, config=config(image_width=128))
        found = {}
        for batch in batches:
            found.update(zip(batch.reference, batch.image.copy(), strict=True))
        assert len(found) == len(formats)
        for path, image in found.items():
            np.testing.assert_allclose(image, expected[path], atol=1e-6, err_msg=path)
    Recogniser(decoder="greedy").read(list(map(str, formats)))
    assert eval_onnx.main(["--onnx_file=pretrained/crnn_v2_int8.onnx", "--eval_dataset=list", "--device_target=CPU",
                           f"--eval_dataset_path={words}", "--show_progress=never"]) == 0
    assert len(seen) == 2 * len(formats)
    for path, image in zip([*formats, *formats], seen, strict=True):
        np.testing.assert_allclose(image, expected[path.name], atol=1e-6, err_msg=path.name)


def test_resizing_equals_python_to_the_grey_level(check, tmp_path):
    rng = np.random.default_rng(1)
    sizes = [(1, 1), (1, 300), (300, 1), (32, 100), (64, 200), (16, 50), (96, 300), (64, 100), (33, 101), (2, 2)]
    sizes += [tuple(int(x) for x in size) for size in rng.integers(1, 260, (60, 2))]
    paths = [tmp_path / f"{number}.png" for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        cv2.imwrite(str(path), rng.integers(0, 256, (*size, 3), np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    for spec in (InputSpec(), InputSpec(53, 37)):
        for size, path, image in zip(sizes, paths, read_all(check, paths, spec), strict=True):
            np.testing.assert_array_equal(image, reference(path, spec), err_msg=str(size))


def test_real_images_equal_python_to_the_grey_level(check, shared_data):
    patterns = {"iiit5k/test/*.png": 30, "ic15_train/images/*.jpg": 40, "svt1/img/*.jpg": 40}
    paths = [path for pattern, step in patterns.items() for path in sorted(shared_data.glob(pattern))[::step]]
    assert len(paths) > 150
    for path, image in zip(paths, read_all(check, paths, InputSpec()), strict=True):
        np.testing.assert_array_equal(image, reference(path, InputSpec()), err_msg=str(path))


def test_truncated_images_are_refused(check, formats, tmp_path):
    paths = []
    for path in formats:
        data = path.read_bytes()
        for size in (0, 1, 7, 30, len(data) // 2, len(data) * 9 // 10):
            paths.append(tmp_path / f"{size}_{path.name}")
            paths[-1].write_bytes(data[:size])
    paths += [tmp_path / "missing.png", tmp_path, tmp_path / "text.png", tmp_path / "some.gif"]
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "some.gif").write_bytes(b"GIF89a" + bytes(100))
    done = check("images", 100, 32, lines=paths)
    assert done.returncode == 0 and done.stdout == bytes(len(paths)), "every one must be refused"
    reasons = done.stderr.decode().splitlines()
    assert len(reasons) == len(paths)
    assert all(line.startswith(f"{path}: ") and len(line) > len(str(path)) + 10
               for path, line in zip(paths, reasons, strict=True))


def broken(paths, count: int, seed: int):
    """Yields damaged copies of files: bytes changed, left out or put in."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        data = bytearray(paths[rng.integers(len(paths))].read_bytes())
        place = int(rng.integers(len(data)))
        junk = rng.integers(0, 256, int(rng.integers(1, 50)), dtype=np.uint8).tobytes()
        kind = rng.integers(5)
        if kind == 0:
            data[place:place + len(junk)] = junk
        elif kind == 1:
            data[place:place] = junk
        elif kind == 2:
            del data[place:place + len(junk)]
        elif kind == 3:
            for spot in rng.integers(0, len(data), 5):
                data[spot] = junk[0]
        else:
            data[int(rng.integers(min(60, len(data))))] = (0, 1, 127, 255)[rng.integers(4)]  # in a header
        yield bytes(data)


# Sizes in a damaged header make the decoders fill hundreds of megabytes, which takes long under the sanitizers.
@pytest.mark.parametrize("count", [60, pytest.param(1500, marks=pytest.mark.slow)])
def test_damaged_images_do_no_harm(check, formats, tmp_path, count):
    paths = []
    for number, data in enumerate(broken([p for p in formats if p.stat().st_size < 20000], count, count)):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(data)
    done = check("images", 100, 32, lines=paths)  # a finding of the sanitizers fails it
    assert done.returncode == 0
    refused = len(done.stderr.decode(errors="replace").splitlines())
    assert len(done.stdout) == len(paths) + (len(paths) - refused) * 9600
    assert 0.1 < refused / count < 0.9


def facts(tmp_path, characters="abcdefghijklmnopqrstuvwxyz0123456789", **changes):
    """A sidecar; returns the path of its model."""
    model = tmp_path / "model.mindir"
    info = ModelInfo.of(Charset(characters), "V2", InputSpec())
    path = write_sidecar(model, info, {"input_shape": [1, 3, 32, 100], "more": {"deep": [1, {"x": None}], "b": True}})
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None and not k.startswith("checksum")}))
    return model


def test_an_altered_file_of_facts_or_model_is_refused(check, tmp_path):
    model = tmp_path / "m.mindir"
    model.write_bytes(bytes(range(256)) * 9000)  # more than one piece of its checksum
    path = write_sidecar(model, ModelInfo.of(Charset("abé"), "V2", InputSpec()), {"input_shape": [1, 3, 32, 100]})
    assert json.loads(path.read_text())["mindir_crc32"] == f"{zlib.crc32(model.read_bytes()):08x}"
    assert check("logits", 24, model, lines=[]).returncode == 0
    whole = path.read_bytes()
    for place in (*range(0, len(whole), 23), whole.index(b'm": "') + 6, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1:])
        done = check("logits", 24, model, lines=[])
        assert done.returncode == 2 and done.stderr.startswith(f"error: {path}: ".encode()), place
    path.write_bytes(whole[:-20])
    assert b"was altered since it was written" in check("logits", 24, model, lines=[]).stderr
    path.write_bytes(whole)
    model.write_bytes(bytes(range(256)) * 8999 + bytes(256))
    done = check("logits", 24, model, lines=[])
    assert done.returncode == 2 and b"m.mindir is not the file it was written with" in done.stderr


def test_a_bmp_of_impossible_size_is_refused_before_its_bytes_are_counted(check, tmp_path):
    data = bytearray(bmp(32))
    data[18:26] = struct.pack("<ii", 2**31 - 1, -2**31)
    (tmp_path / "x.bmp").write_bytes(data)
    done = check("pixels", lines=[tmp_path / "x.bmp"])
    assert done.stdout == b"\0" and b"2147483647 x 2147483648 pixels is not possible" in done.stderr


@pytest.mark.parametrize("temperature", [None, 1.3])
@pytest.mark.parametrize("characters", ["abcdefghijklmnopqrstuvwxyz0123456789", "aé€😀\"\\/Z"])
def test_readings_equal_python(check, tmp_path, characters, temperature):
    rng = np.random.default_rng(len(characters))
    classes, steps = len(characters) + 1, 24
    logits = rng.normal(0, 3, (steps, 80, classes)).astype(np.float32)
    logits[:, 20:40, -1] += 5
    for image in range(40, 80):  # confident readings with repeats
        path = rng.integers(0, classes, steps // 2).repeat(2)
        logits[np.arange(steps), image, path] += 12
    logits[:, 0] = 0  # all classes alike
    logits[:, 1] *= 40  # far apart
    paths = []
    for image in range(80):
        paths.append(tmp_path / f"{image}.bin")
        logits[:, image].tofile(paths[-1])
    done = check("logits", steps, facts(tmp_path, characters, temperature=temperature), lines=paths)
    assert done.returncode == 0 and not done.stderr, done.stderr
    expected = GreedyDecoder(Charset(characters), temperature or 1.0)(logits)
    for line, reading in zip(done.stdout.decode().splitlines(), expected, strict=True):
        text, confidence = line.split("\t")
        assert text == reading.text
        assert float(confidence) == pytest.approx(reading.confidence, rel=1e-4, abs=1e-30)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_an_error(check, tmp_path, value):
    scores = np.zeros((24, 37), np.float32)
    scores[5, 7] = value
    scores.tofile(tmp_path / "a.bin")
    done = check("logits", 24, facts(tmp_path), lines=[tmp_path / "a.bin"])
    assert done.returncode == 2 and b"NaN or infinite" in done.stderr


@pytest.mark.parametrize("changes, message", [
    ({"label_dict": None}, "does not tell the label_dict"), ({"label_dict": ""}, "empty or holds a character twice"),
    ({"label_dict": "aab"}, "holds a character twice"), ({"class_num": 36}, "contradict its label_dict"),
    ({"blank": 0}, "contradict its label_dict"), ({"mean": "x"}, "not a number"), ({"scale": 0}, "scale cannot be 0"),
    ({"temperature": 0}, "temperature is 0; it must be above 0"), ({"temperature": "warm"}, "not a number"),
    ({"long_width": 90}, "long_width 90 must be 0, or a whole number above image_width"),
    ({"image_width": 0}, "not possible"), ({"image_height": 1.5}, "not possible"),
    ({"channel_order": "RGB"}, "wants images with channel_order 'RGB'"),
    ({"resize": "pad"}, "wants images with resize 'pad'"),
    ({"label_dict": "abש"}, "letters that are written from right to left"),
    ({"label_dict": "aب"}, "evaluate it with eval_onnx.py"), ({"label_dict": "a\U0001e900"}, "from right to left"),
    ({"resize": KEEP_RATIO, "bucket_widths": "100"}, "take a network that was trained with those, or evaluate this"),
])
def test_facts_that_cannot_be_used(check, tmp_path, changes, message):
    done = check("logits", 24, facts(tmp_path, **changes), lines=[])
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"error: {tmp_path}/model.mindir.json: ") and message in done.stderr.decode()


@pytest.mark.parametrize("text", [
    "", "{", "[]", "{}x", '{"a"}', '{"a": }', '{"a": 1,}', '{"a": "\\x"}', '{"a": "\\ud800"}', '{"a": "\n"}',
    '{"a": 1e}', '{"a": tru}', '{"a": ' + "[" * 1000, '{"a": "', '{"a": "\\'])
def test_text_that_is_no_json(check, tmp_path, text):
    (tmp_path / "m.json").write_text(text)
    done = check("logits", 24, tmp_path / "m", lines=[])
    assert done.returncode == 2, text
    assert "error: " in done.stderr.decode() and "not a JSON object" in done.stderr.decode()


def test_escapes_in_json(check, tmp_path):
    model = facts(tmp_path, "aé€😀\"")
    path = tmp_path / "model.mindir.json"
    assert "\\ud83d\\ude00" in path.read_text(), "the test needs escapes"
    scores = np.full((5, 6), -9, np.float32)
    scores[np.arange(5), np.arange(5)] = 9
    scores.tofile(tmp_path / "a.bin")
    done = check("logits", 5, model, lines=[tmp_path / "a.bin"])
    assert done.stdout.decode().split("\t")[0] == "aé€😀\""


def test_a_width_for_long_images_is_left_out_and_said(check, tmp_path):
    assert not check("logits", 24, facts(tmp_path, long_width=0), lines=[]).stderr
    done = check("logits", 24, facts(tmp_path, long_width=200), lines=[])
    assert done.returncode == 0
    assert b"long_width 200 is left out: this program reads all images at image_width, 100" in done.stderr


def test_a_missing_sidecar_stands_for_a_to_z_and_digits(check, tmp_path):
    scores = np.full((3, 37), -9, np.float32)
    scores[[0, 1, 2], [0, 35, 36]] = 9
    scores.tofile(tmp_path / "a.bin")
    done = check("logits", 3, tmp_path / "none", lines=[tmp_path / "a.bin"])
    assert done.stdout.decode().split("\t")[0] == "a9" and b"none.json is missing; taking the characters" in done.stderr


def test_names_of_result_files(check):
    images = ["a.png", "b/c.png", "d/c.png", "e.jpg", "e.png", "f.png", "f.jpg", "f.png.jpg", "g.h.png", "i/j k.png"]
    done = check("names", lines=images)
    assert done.stdout.decode().splitlines() == [
        "a_0.bin", "b/c.png_0.bin", "d/c.png_0.bin", "e.jpg_0.bin", "e.png_0.bin", "f.png_0.bin", "f.jpg_0.bin",
        "f.png.jpg_0.bin", "g.h_0.bin", "j k_0.bin"]
