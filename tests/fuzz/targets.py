"""What of ours reads files and words of other people: for each kind, sound samples and the call that reads them.

A sample is the content of one file. Reading it may succeed, or end in a ``CRNNError``; everything else is a fault.
"""
import contextlib
import importlib.util
import io
import json
import os
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import lmdb
import numpy as np
from PIL import Image
from scipy.io import savemat

from src.common.charset import Charset
from src.common.errors import CheckpointError, DataError
from src.convert.iiit5k import load_mat, text_of
from src.convert.synthtext import SynthTextFile
from src.convert.tagset import clamped_box, read_tagset
from src.data.list_source import ListSource
from src.data.lmdb_source import Database, LmdbSource
from src.data.preprocess import InputSpec, read_image, to_batch
from src.data.source import LexiconFile
from src.deploy.metadata import ModelInfo, read_sidecar, write_sidecar
from src.deploy.onnx.graph import to_bytes
from src.deploy.onnx.network import OnnxNetwork
from src.distributed.rank_table import read_rank_table
from src.model_utils.config import load_config
from src.network.weight_files import read_safetensors, read_torch
from src.reading.language_model import CharacterModel
from src.reading.model_training import train_model
from tests.words import draw_word

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Target:
    """One kind of input.

    Attributes:
        samples: gives sound contents, each the bytes of a file.
        read: reads the file at a path as the programs do, all of it.
        file: its name; it lies in a folder of its own.
    """

    samples: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    file: str


def images() -> list[bytes]:
    """One picture in all formats and kinds of pixels, and some of unusual sizes."""
    word = cv2.resize(draw_word("fuzz"), (40, 20))
    colour = Image.fromarray(word)
    alpha = Image.merge("RGBA", (*colour.split(), colour.convert("L")))
    kinds = (
        ("png", colour, {}), ("png", colour.convert("L"), {}), ("png", colour.convert("1"), {}), ("png", alpha, {}),
        ("png", alpha.convert("LA"), {}), ("png", colour.quantize(16), {"bits": 4}),
        ("png", colour.quantize(9), {"transparency": bytes(range(9))}), ("png", colour.convert("I;16"), {}),
        ("jpeg", colour, {}), ("jpeg", colour.convert("L"), {}), ("jpeg", colour.convert("CMYK"), {}),
        ("jpeg", colour, {"progressive": True}), ("bmp", colour, {}), ("bmp", colour.quantize(16), {}),
        ("webp", colour, {}), ("webp", alpha, {"lossless": True}), ("gif", colour, {}),
        ("gif", colour, {"save_all": True, "append_images": [colour.convert("L")]}),
        ("webp", colour, {"save_all": True, "append_images": [alpha]}),
        ("tiff", colour, {}), ("tiff", alpha, {"compression": "tiff_lzw"}), ("tiff", colour.convert("CMYK"), {}),
        ("tiff", colour.convert("I;16"), {}), ("ppm", colour, {}), ("ppm", colour.convert("L"), {}),
        ("jpeg2000", colour, {}), ("png", colour.resize((1, 1)), {}), ("png", Image.new("L", (30000, 3)), {}),
    )
    found = []
    for kind, image, options in kinds:
        with contextlib.suppress(OSError, KeyError):  # a Pillow without that format
            buffer = io.BytesIO()
            image.save(buffer, kind, **options)
            found.append(buffer.getvalue())
    deep = np.random.default_rng(0).integers(0, 65536, (9, 9, 4), np.uint16)
    claims = [png_claiming(*size) for size in ((100_000, 100_000), (0, 0), (30_000, 1), (1, 1))]
    return [*found, cv2.imencode(".png", deep)[1].tobytes(), *claims]


def png_claiming(width: int, height: int, colour: int = 2) -> bytes:
    """A PNG whose head claims a size, and that ends soon after it."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))


def lists() -> list[bytes]:
    """Lists in the formats that are recognised."""
    names = [f"w{i}.jpg" for i in range(6)]
    quoted = "".join(f'{name}, "Word {i}"\n' for i, name in enumerate(names))
    data = [{"img_path": name, "instances": [{"text": "word"}]} for name in names]
    return [text.encode() for text in (
        "".join(f"{name}\tword{i}\n" for i, name in enumerate(names)), quoted,
        "".join(f"./a/{name},wörd {i}\r\n" for i, name in enumerate(names)),
        "".join(f"{name} word{i}\n" for i, name in enumerate(names)),
        "".join(f"{name},Latin,word{i}\n" for i, name in enumerate(names)),
        "".join(f"{name} NEW 1 new\n" for name in names), '["a.jpg", "b.jpg"]\tword\nc.jpg\tmore\n',
        'filename,words\na.jpg,"one, two"\nb.jpg,"a ""b"""\n', "name\timage\tlabel\n1\ta.jpg\tb\n",
        json.dumps(dict.fromkeys(names, "word")), json.dumps({"data_list": data}),
        "".join(json.dumps({"file_name": name, "text": "word"}) + "\n" for name in names),
        json.dumps([{"image": name, "label": "w"} for name in names]),
    )]


def read_listed(path: Path) -> None:
    """Reads a list, and tries to read its images, which are not there."""
    source = ListSource(str(path))
    for i in range(len(source)):
        source.text(i), source.location(i)
        with contextlib.suppress(DataError):
            source.read(i)


def tagsets() -> list[bytes]:
    """XML files of SVT and IC03."""
    box = '<taggedRectangle height="{}" width="20" x="{}" y="2"><tag>WORD</tag></taggedRectangle>'
    image = ("<image><imageName>img/1.jpg</imageName><lex>A,B,WORD</lex><Resolution x='9' y='9'/><taggedRectangles>"
             f"{box.format(9, 1)}{box.format('9.5', '-3')}</taggedRectangles></image>")
    return [f'<?xml version="1.0" encoding="utf-8"?>\n<tagset>{image * 2}</tagset>'.encode(),
            f'<?xml version="1.0" encoding="ISO-8859-1"?><tagset>{image}<!-- \xe9 --></tagset>'.encode("latin-1")]


def read_tags(path: Path) -> None:
    """Reads the file and clamps its boxes."""
    for image in read_tagset(str(path)):
        for _, box in image.words:
            with contextlib.suppress(DataError):
                clamped_box(box, 100, 200)


def _mat(content: dict, compressed: bool) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, content, do_compression=compressed)
    return buffer.getvalue()


def _structs() -> dict:
    lexicon = np.array(["one", "two", "three"], object)
    kind = [("ImgName", "O"), ("GroundTruth", "O"), ("smallLexi", "O")]
    return {"testdata": np.array([[(f"test/{i}.png", "WORD", lexicon) for i in range(3)]], kind)}


def _scenes() -> dict:
    names, texts, boxes = (np.empty((1, 2), object) for _ in range(3))
    names[0, :] = ["1/a.jpg", "1/b.jpg"]
    texts[0, :] = [np.array(["one two", "three"]), np.array(["four"])]
    boxes[0, :] = [np.arange(24.0).reshape(2, 4, 3), np.arange(8.0).reshape(2, 4)]
    return {"imnames": names, "wordBB": boxes, "txt": texts}


def read_structs(path: Path) -> None:
    """Reads what the converter of IIIT5K takes from its file."""
    _, structs = load_mat(str(path))
    for struct_ in structs:
        for name in structs.dtype.names:
            text_of(struct_[name])
            for entry in np.ravel(struct_[name]):
                text_of(entry)


def read_scenes(path: Path) -> None:
    """Reads gt.mat of SynthText with all boxes."""
    with contextlib.redirect_stderr(io.StringIO()):
        file = SynthTextFile(str(path))
    for scene in range(len(file.names)):
        with contextlib.suppress(DataError):
            file.boxes(scene)


def databases() -> list[bytes]:
    """LMDB files: a small one, and one with values that need pages of their own."""
    found = []
    for count, size in ((3, 20), (40, 6000), (400, 10)):
        with tempfile.TemporaryDirectory() as folder:
            environment = lmdb.open(folder, map_size=1 << 24)
            with environment.begin(write=True) as transaction:
                for i in range(1, count + 1):
                    transaction.put(b"image-%09d" % i, bytes(size))
                    transaction.put(b"label-%09d" % i, b"word%d" % (i % 7))
                transaction.put(b"num-samples", b"%d" % count)
                transaction.put(b"lexicon-full", b"one\ttwo")
            environment.close()
            found.append(Path(folder, "data.mdb").read_bytes())
    return found


def read_database(path: Path) -> None:
    """Reads all labels, images and the lexicon."""
    try:
        source = LmdbSource(str(path.parent))
        source.check()
        for i in range(len(source)):
            source.text(i), source.read(i)
        source.lexicon_names()
    finally:
        Database(str(path.parent)).close()


def configurations() -> list[bytes]:
    """YAML files as people write them."""
    return [
            b"batch_size: 8\nlearning_rate: 1e-3\nlabel_dict: 'abc'\nrun_eval: yes\n# comment\noutput_dir: \"x y\"\n",
            b"batch_size: 8\n---\nbatch_size: help\n---\nbatch_size: [1, 2]\n",
            b"{batch_size: 4, hidden_size: !!int 8}\n",
            b"a: &x [1]\nb: *x\n", b"lexicon: |\n  text\n  more\nimage_width: 200\n"]


def read_configuration(path: Path) -> None:
    """Lays the file over the defaults."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        load_config([f"--config_path={path}"]).describe()


def command_lines() -> list[bytes]:
    """Words of a command line, a zero byte between them."""
    return [b"\0".join(words) for words in (
        [b"--batch_size=8", b"--learning_rate", b"0.1", b"--run_eval"], [b"image.png", b"--", b"--x"],
        [b"--label_dict=abc", b"--image_width=100", b"--config_path=a.yaml,b.yaml"],
        [b"--enable_modelarts=True", b"--rank", b"0", b"--keep_ratio=yes"])]


def read_command_line(path: Path) -> None:
    """Reads the words as a program does."""
    words = [os.fsdecode(word) for word in path.read_bytes().split(b"\0")]
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()), \
            contextlib.suppress(SystemExit):
        load_config(words, positional="IMAGE").describe()


def rank_tables() -> list[bytes]:
    """Rank tables of one server and of two."""
    def server(name: str, first: int) -> dict:
        return {"server_id": name, "device": [{"device_id": str(i), "rank_id": str(first + i),
                                               "device_ip": f"192.168.{first}.{i + 1}"} for i in range(2)]}

    return [json.dumps({"version": "1.0", "status": "completed", "server_count": str(count),
                        "server_list": [server(f"10.0.0.{i}", 2 * i) for i in range(count)]}).encode()
            for count in (1, 2)]


def sidecars() -> list[bytes]:
    """Facts beside a MINDIR file, with a checksum and, as others may write them, without."""
    with tempfile.TemporaryDirectory() as folder:
        info = ModelInfo.of(Charset(LETTERS), "V2", InputSpec())
        data = write_sidecar(Path(folder, "x.mindir"), info, {"input_shape": [1, 3, 32, 100]}).read_bytes()
    values = json.loads(data)
    del values["checksum"], values["checksum_method"]
    return [data, json.dumps(values).encode()]


def networks() -> list[bytes]:
    """ONNX files of a network like ours, with a checksum and without."""
    from tests.fuzz.networks import small_onnx

    return [to_bytes(small_onnx(LETTERS)), small_onnx(LETTERS).SerializeToString()]


def language_models() -> list[bytes]:
    """Files of the language model."""
    with tempfile.TemporaryDirectory() as folder:
        model, _ = train_model(["one", "two", "three", "1995"], Charset(LETTERS), 3)
        model.save(Path(folder, "x.lm"))
        return [Path(folder, "x.lm").read_bytes()]


def lexicons() -> list[bytes]:
    """Lexicons: a word a line, and an image with its words a line."""
    return [b"one\ntwo\nthree\n", b"a.jpg\tone\ttwo\nb.jpg\tthree\n", "\ufeffwörd\r\n".encode()]


def read_lexicons(path: Path) -> None:
    """Reads it in both ways."""
    LexiconFile(str(path), shared=True).words("a.jpg")
    LexiconFile(str(path), shared=False).words("a.jpg")


def checkpoints() -> list[bytes]:
    """Checkpoints of MindSpore, ours with checksums and the model zoo's without, and weights of numpy."""
    from tests.fuzz.networks import small_checkpoints

    return small_checkpoints(LETTERS)


def read_network(path: Path) -> None:
    """Reads a checkpoint and what it says of its network; a numpy file has another ending."""
    from src.network.checkpoint import read_checkpoint, take_over

    if path.read_bytes()[:2] == b"PK":
        path = path.rename(path.with_suffix(".npz"))
    with contextlib.redirect_stderr(io.StringIO()):
        found = read_checkpoint(str(path))
        with contextlib.suppress(CheckpointError):
            take_over(load_config([]), found)


def small_weights() -> dict[str, np.ndarray]:
    """Arrays of several shapes, none of them large."""
    rng = np.random.default_rng(0)
    shapes = {"rnn.0.rnn.weight_ih_l0": (8, 3), "rnn.1.embedding.bias": (37,), "one": (1,), "none": (0, 2)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def safetensors_files() -> list[bytes]:
    """Files of safetensors: with facts, and as others write them, in several kinds of numbers."""
    from safetensors.numpy import save

    arrays = small_weights()
    others = {name: array.astype(kind) for (name, array), kind in
              zip(arrays.items(), (np.float16, np.float64, np.int64, np.uint8), strict=True)}
    return [save(arrays, {"crnn": json.dumps({"label_dict": LETTERS, "model_version": "V2"})}), save(others)]


def torch_files() -> list[bytes]:
    """Files of torch.save: a state_dict alone, and with facts."""
    import torch

    state, found = {name: torch.from_numpy(array) for name, array in small_weights().items()}, []
    for content in (state, {"state_dict": state, "facts": {"label_dict": LETTERS}}):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        found.append(buffer.getvalue())
    return found


TARGETS = {
    "image": Target(images, lambda path: to_batch([read_image(path)], InputSpec()), "image.png"),
    "list": Target(lists, read_listed, "gt.txt"),
    "xml": Target(tagsets, read_tags, "words.xml"),
    "mat": Target(lambda: [_mat(_structs(), flag) for flag in (False, True)], read_structs, "testdata.mat"),
    "synthtext": Target(lambda: [_mat(_scenes(), flag) for flag in (False, True)], read_scenes, "gt.mat"),
    "lmdb": Target(databases, read_database, "data.mdb"),
    "yaml": Target(configurations, read_configuration, "configuration.yaml"),
    "command_line": Target(command_lines, read_command_line, "words"),
    "rank_table": Target(rank_tables, lambda path: read_rank_table(str(path)), "table.json"),
    "mindir_json": Target(sidecars, lambda path: read_sidecar(path.with_suffix("")), "crnn.mindir.json"),
    "onnx": Target(networks, lambda path: OnnxNetwork(path, threads=1), "crnn.onnx"),
    "language_model": Target(language_models, lambda path: CharacterModel.load(path, Charset(LETTERS)), "words.lm"),
    "lexicon": Target(lexicons, read_lexicons, "lexicon.txt"),
    "checkpoint": Target(checkpoints, read_network, "crnn.ckpt"),
    "safetensors": Target(safetensors_files, lambda path: read_safetensors(str(path)), "crnn.safetensors"),
}
"""By the name of the kind."""
if importlib.util.find_spec("torch") is not None:  # no package of requirements.txt
    TARGETS["torch"] = Target(torch_files, lambda path: read_torch(str(path)), "crnn.pt")
