"""Reading with a language model in the C++ program, built with the sanitizers, against Python's."""
import json
import zlib

import numpy as np
import pytest

from src.common.charset import Charset
from src.data.preprocess import InputSpec
from src.deploy.metadata import ModelInfo, write_sidecar
from src.reading.beam import BeamDecoder
from src.reading.greedy import GreedyDecoder
from src.reading.language_model import Use
from src.reading.model_training import train_model
from src.reading.selection import SHIPPED_CHARACTERS, SHIPPED_MODEL
from tests import cpp

WORDS = ("restaurant", "museum", "hotel", "coffee", "letters", "street", "1995", "b17x", "zqxv", "a",
         "communication", "ann")


@pytest.fixture(scope="module")
def check():
    """Calls crnn_check; returns the finished process."""
    program = cpp.build("--sanitize", "--check") / "crnn_check"
    return lambda task, *words, lines: cpp.run(program, task, *words, input="".join(f"{x}\n" for x in lines).encode())


def drawn_scores(charset: Charset, words, steps: int, seed: int) -> np.ndarray:
    """Class scores (steps, N, C) as a network in doubt gives them: the word's path, and others nearly as likely."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (steps, len(words), charset.class_num))
    logits[..., -1] += 5
    for number, word in enumerate(words):
        at = np.sort(rng.choice(np.arange(0, steps - 1, 2 if len(word) * 2 < steps else 1), len(word), replace=False))
        for step, character in zip(at, word, strict=True):
            label = charset.characters.index(character)
            logits[step, number, label] += rng.uniform(5, 12)
            logits[step + rng.integers(0, 2), number, rng.integers(0, charset.class_num)] += rng.uniform(4, 11)
    return logits.astype(np.float32)


def same_as_python(check, folder, charset, logits, model, width=10, temperature=1.0):
    """Fails unless the C++ program reads the same with the same confidence; returns the readings."""
    paths = []
    for image in range(logits.shape[1]):
        paths.append(folder / f"{image}.bin")
        logits[:, image].tofile(paths[-1])
    info = ModelInfo.of(charset, "V2", InputSpec(), temperature=temperature)
    write_sidecar(folder / "model.mindir", info)
    done = check("words", len(logits), folder / "model.mindir", model, width, lines=paths)
    assert done.returncode == 0, done.stderr.decode()
    found = [line.split("\t") for line in done.stdout.decode().splitlines()]
    expected = BeamDecoder(charset, width, model, temperature=temperature)(logits)
    assert [text for text, _ in found] == [reading.text for reading in expected]
    np.testing.assert_allclose([float(value) for _, value in found], [one.confidence for one in expected], rtol=2e-5)
    return expected


@pytest.mark.parametrize(("width", "temperature"), [(10, 1.0), (1, 1.3)])
def test_the_shipped_model_reads_as_in_python(check, tmp_path, width, temperature):
    charset = Charset(SHIPPED_CHARACTERS)
    logits = np.concatenate([drawn_scores(charset, WORDS, 31, seed) for seed in range(4)], 1)
    logits[:, 0] = 0  # all classes alike
    logits[:, 1] *= 60  # texts of next to no probability
    read = same_as_python(check, tmp_path, charset, logits, SHIPPED_MODEL, width, temperature)
    greedy = GreedyDecoder(charset, temperature)(logits)
    assert sum(one.text != other.text for one, other in zip(read, greedy, strict=True)) > 6, "the model changes nothing"
    assert width == 1 or any(one.confidence < 0.9 for one in read)


@pytest.mark.parametrize(("characters", "tied", "order", "size"), [
    ("äb3c4", "34", 1, 4), ("äb3c4", "", 2, 4), ("äb3c4", "34", 4, 4), (SHIPPED_CHARACTERS, "0123456789", 9, 8)])
def test_models_of_other_orders_characters_and_numbers(check, tmp_path, characters, tied, order, size):
    """Tied characters or none, characters of two bytes, contexts of 4 and of 8 bytes."""
    charset, rng = Charset(characters), np.random.default_rng(order)
    words = ["".join(rng.choice([*characters], rng.integers(1, 12))) for _ in range(100)]
    model, _ = train_model(words, charset, order, tied=tied)
    model.save(tmp_path / "own.lm", Use(0.7, 1.1, 0.01, 0.9, 1.4))
    assert json.loads((tmp_path / "own.lm").read_bytes().split(b"\n")[1])["bytes"] == size
    same_as_python(check, tmp_path, charset, drawn_scores(charset, words[:40], 26, 5), tmp_path / "own.lm")


def test_a_file_that_cannot_be_used_is_named(check, tmp_path):
    charset = Charset(SHIPPED_CHARACTERS)
    write_sidecar(tmp_path / "model.mindir", ModelInfo.of(charset, "V2", InputSpec()))
    path, whole = tmp_path / "x.lm", SHIPPED_MODEL.read_bytes()

    def refusal(data: bytes) -> str:
        path.write_bytes(data)
        done = check("words", 31, tmp_path / "model.mindir", path, 10, lines=[])
        assert done.returncode == 2 and done.stderr.decode().startswith(f"error: language_model {path}: ")
        return done.stderr.decode()

    def sealed(facts: dict | str, rest: bytes) -> bytes:
        text = (facts if isinstance(facts, str) else json.dumps(facts)).encode() + b"\n" + rest
        return b"crnn-character-model-3 %08x\n" % zlib.crc32(text) + text

    head, line, rest = whole.split(b"\n", 2)
    facts = json.loads(line)
    for bit in (8 * len(whole) // 2, 8 * len(whole) - 1, 8 * (len(head) + 20), 8 * (len(head) - 2)):
        altered = bytearray(whole)
        altered[bit // 8] ^= 1 << bit % 8
        assert "was altered since it was written" in refusal(bytes(altered))
    assert "was altered" in refusal(whole[:-100])
    assert "not a language model" in refusal(b"hello") and "not a language model" in refusal(b"")
    assert "earlier version" in refusal(b"PK\3\4")
    assert "for the characters 'abc'" in refusal(sealed({**facts, "characters": "abc"}, rest))
    use = facts["use"]
    for changed in ({"contexts": [1, 10**8]}, {"contexts": []}, {"contexts": [0]}, {"bytes": 5}, {"bytes": 8},
                    {"contexts": ["x"]}, {"use": {**use, "weight": -1}}, {"use": {**use, "temperature": 0}},
                    {"use": {key: value for key, value in use.items() if key != "sure"}}, {"tied": None},
                    {"contexts": [1] * 40}):
        assert "language model" in refusal(sealed({**facts, **changed}, rest)), changed
    assert "not a language model" in refusal(sealed(facts, rest[:-1]))
    assert "JSON" in refusal(sealed("[1]", rest))
    path.unlink()
    done = check("words", 31, tmp_path / "model.mindir", path, 10, lines=[])
    assert done.returncode == 2 and str(path) in done.stderr.decode()
