"""Words whose letters join, change places or carry marks: drawn as HarfBuzz sets them, or refused."""
import importlib.util
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import features

import generate_synth
from src.common.errors import DataError
from src.common.writing_order import turned
from src.data.spelling import spelled
from src.data.synth_source import SynthSource
from src.render import FontFace, RenderStyle, WordRenderer, find_fonts, write_synth
from src.render import renderer as renderer_module
from src.render import shaping as shaping_module
from src.render.case import capitalised, is_turkish, lowered, uppered
from src.render.fonts import glyph_masks, open_face
from src.render.glyphs import GlyphCache
from src.render.paint import paint
from src.render.shaping import SHAPED, refusal, scripts
from src.render.words import plan_words, read_lexicon

hb = pytest.importorskip("uharfbuzz", reason="shaping is compared with uharfbuzz (requirements-dev.txt)")
raqm = pytest.mark.skipif(not features.check("raqm"), reason="this Pillow has no raqm")
# Words by font package; Kalam, Teko and Arimo are fonts of requirements.txt.
WORDS = {
    "noto_sans_arabic": ["سلام", "كتاب", "مدرسة", "لا إله", "پنجره", "مَكْتَب", "٤٢ بيت"],
    "noto_sans_devanagari": ["हिन्दी", "किताब", "पुस्तक", "क्षेत्र", "र्म", "श्री"],
    "kalam": ["हिन्दी", "किताब", "पुस्तक", "क्षेत्र"],
    "arimo": ["שלום", "ירושלים", "שָׁלוֹם", "x\u0302y", "q\u0303"],
    "noto_sans_thai": ["ที่นี่", "น้ำ"],
    "noto_sans_tamil": ["கொடு", "மொழி"],
}
CASES = [(package, word) for package, words in WORDS.items() for word in words]
SIZE = 80
_FINE = 4  # HarfBuzz's outlines are filled at so many times the size: OpenCV fills the pixels of the edge, too


@lru_cache(maxsize=16)
def faces_of(package: str) -> list[FontFace]:
    spec = importlib.util.find_spec(f"fontpkg_{package}")
    if spec is None or spec.origin is None:
        pytest.skip(f"the font package fontpkg-{package.replace('_', '-')} is not installed (requirements-dev.txt)")
    found = [face for face in find_fonts([str(Path(spec.origin).parent / "files")]) if not face.slanted]
    return sorted(found, key=lambda face: (-face.stroke, face.name))  # bold first: masks of thin lines hardly overlap


class Outline:
    """Takes the curves that HarfBuzz gives and fills them by their winding number."""

    def __init__(self) -> None:
        self.contours: list[list[tuple[float, float]]] = []

    def moveTo(self, point: tuple[float, float]) -> None:  # noqa: N802
        self.contours.append([point])

    def lineTo(self, point: tuple[float, float]) -> None:  # noqa: N802
        self.contours[-1].append(point)

    def qCurveTo(self, *points: tuple[float, float]) -> None:  # noqa: N802
        start, (control, end) = np.array(self.contours[-1][-1]), map(np.array, points)
        self.contours[-1] += [tuple((1 - t) ** 2 * start + 2 * t * (1 - t) * control + t * t * end)
                              for t in np.linspace(0.125, 1, 8)]

    def curveTo(self, *points: tuple[float, float]) -> None:  # noqa: N802
        start, (first, second, end) = np.array(self.contours[-1][-1]), map(np.array, points)
        self.contours[-1] += [tuple((1 - t) ** 3 * start + 3 * t * (1 - t) ** 2 * first + 3 * t * t * (1 - t) * second
                                    + t ** 3 * end) for t in np.linspace(0.125, 1, 8)]

    def closePath(self) -> None:  # noqa: N802
        pass

    def endPath(self) -> None:  # noqa: N802
        pass


@lru_cache(maxsize=64)
def by_harfbuzz(face: FontFace, word: str, direction: str = "") -> np.ndarray:
    """A word of one script set by HarfBuzz alone: coverage uint8, cut to its ink."""
    font = hb.Font(hb.Face(hb.Blob.from_file_path(face.path), face.index))
    size = SIZE * _FINE
    font.scale = (64 * size, 64 * size)
    if face.axes:
        tags = [axis.tag for axis in font.face.axis_infos]
        font.set_variations(dict(zip(tags, face.axes, strict=True)))
    buffer = hb.Buffer()
    buffer.add_str(word)
    buffer.guess_segment_properties()
    if direction:
        buffer.direction = direction
    hb.shape(font, buffer)
    winding = np.zeros((4 * size, 2 * size * (len(word) + 2)), np.int16)
    pen = np.array([size * 1.0, 2.5 * size])
    for info, place in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        outline = Outline()
        font.draw_glyph_with_pen(info.codepoint, outline)
        for contour in outline.contours:
            points = np.array(contour) / 64 * (1, -1) + pen + np.array((place.x_offset, -place.y_offset)) / 64
            (left, top), (right, bottom) = np.floor(points.min(axis=0)).astype(int), points.max(axis=0).astype(int) + 2
            inside = np.zeros((bottom - top, right - left), np.uint8)
            cv2.fillPoly(inside, [np.round((points - (left, top)) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
            x, y = points.T
            turn = 1 if (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() > 0 else -1
            winding[top:bottom, left:right] += turn * inside.astype(np.int16)
        pen = pen + np.array((place.x_advance, -place.y_advance)) / 64
    large = (winding != 0).astype(np.uint8) * 255
    return cut(cv2.resize(large, None, fx=1 / _FINE, fy=1 / _FINE, interpolation=cv2.INTER_AREA))


def cut(mask: np.ndarray) -> np.ndarray:
    x, y, width, height = cv2.boundingRect((mask > 127).astype(np.uint8))
    return mask[y:y + height, x:x + width]


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks brought to the size of the second."""
    first, second = cv2.resize(cut(one), cut(other).shape[::-1]) > 127, cut(other) > 127
    return float((first & second).sum() / (first | second).sum())


def plainly(face: FontFace, word: str) -> np.ndarray:
    """The word one glyph per character, as it was drawn before."""
    return glyph_masks(open_face(face, SIZE), (word,))[0][0]


@raqm
@pytest.mark.parametrize(("package", "word"), CASES)
def test_words_are_set_as_harfbuzz_sets_them(package, word):
    face = faces_of(package)[0]
    if word == "٤٢ بيت":  # digits run from left to right inside: two runs, which HarfBuzz does not put in order
        digits, letters = by_harfbuzz(face, "٤٢", "ltr"), by_harfbuzz(face, "بيت")
        drawn = cut(glyph_masks(open_face(face, SIZE, shaping=True), (word,))[0][0])
        assert likeness(drawn[:, -digits.shape[1]:], digits) > 0.85
        assert likeness(drawn[:, :letters.shape[1]], letters) > 0.85
        return
    drawn, expected = glyph_masks(open_face(face, SIZE, shaping=True), (word,))[0][0], by_harfbuzz(face, word)
    assert abs(drawn.shape[0] - expected.shape[0]) <= 4 and abs(drawn.shape[1] - expected.shape[1]) <= 4
    assert likeness(drawn, expected) > 0.86
    assert likeness(plainly(face, word), expected) < 0.82


@raqm
def test_every_script_of_the_table_is_compared():
    compared = {script for _, word in CASES for script in scripts(word)}
    assert compared >= SHAPED.keys()


@raqm
@pytest.mark.parametrize(("package", "word"), [("noto_sans_arabic", "مدرسة"), ("kalam", "किताब"), ("arimo", "ירושלים"),
                                               ("arimo", "x\u0302y")])
def test_images_show_words_as_harfbuzz_sets_them(package, word, monkeypatch):
    faces = [face for face in faces_of(package) if not face.unicase][:1]
    style = RenderStyle(curve=0.0, slant=0.0, geometry=0.0, border=0.0, hollow=0.0, shadow=0.0, extrude=0.0, neon=0.0,
                        relief=0.0, dots=0.0, height=(60, 64), stretch=(1.0, 1.0), margin=(0.1, 0.1), punctuation=0.0,
                        case=(1.0, 0.0, 0.0, 0.0))
    renderer = WordRenderer(style, faces, seed=3)
    for index in range(5):
        alphas = []
        monkeypatch.setattr(renderer_module, "paint", lambda found, *rest: (
            alphas.append(found[0].copy()) or paint(found, *rest)))  # noqa: B023
        text, _ = renderer.encode(word, index)
        word = text  # X may be a capital
        assert likeness((alphas[0] * 255).astype(np.uint8), by_harfbuzz(faces[0], word)) > 0.75


@pytest.mark.parametrize(("word", "message"), [
    ("বাংলা", "written in Bengali"), ("မြန်မာ", "written in Myanmar"), ("ܫܠܡܐ", "written in Syriac"),
    ("ಕನ್ನಡ", "Kannada.*Arabic, Devanagari, Hebrew, Tamil, Thai"),
])
def test_other_scripts_are_refused_by_name(word, message, tmp_path):
    assert refusal(word)
    (tmp_path / "words.txt").write_text(f"good\n{word}\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"line 2.*{message}"):
        read_lexicon(tmp_path / "words.txt")
    with pytest.raises(DataError, match=message):
        plan_words([word], {"train": 1})
    with pytest.raises(DataError, match=message):
        WordRenderer(RenderStyle.preset("easy")).draw(word, 1)


@pytest.mark.parametrize("word", ["street", "Café", "straße", "κόσμος", "Москва", "東京", "서울", "don't", "Հայ",
                                  "Việt"])
def test_other_words_need_no_shaping(word):
    assert not scripts(word) and refusal(word) is None


def test_without_raqm_words_are_refused(monkeypatch):
    monkeypatch.setattr(shaping_module.features, "check", lambda name: False)
    assert "raqm" in refusal("سلام") and "x\u0302" in refusal("x\u0302")
    assert refusal("street") is None and refusal("e\u0301") is None  # composed, it is one character


@raqm
@pytest.mark.parametrize("word", [
    "שלום", "(שלום)", "בית 12", "12:30 בית", "בית-5", "abc בית", "בית abc", "50% בית", "בית 50%", "בית,", "«בית»",
    "בית (5)", "ב'5", "iPhone בית", "5-6 ב", "ב5-6", "ב 1,000", "₪5 ב", "ב 5 6", "B2B ב", "#ב", "ב [x]", "-5ב",
    "a.b ב"])
def test_labels_are_in_the_order_in_which_fribidi_sets_a_word(word):
    """What is drawn is the text in the order of the picture, each letter by force to the right of the one before."""
    font = open_face(faces_of("arimo")[0], SIZE, shaping=True)
    drawn, _, _ = glyph_masks(font, (word,))[0]
    mask = font.getmask("\u202d" + turned(word) + "\u202c", "L", direction="ltr", features=["-kern"])
    expected = cut(np.array(mask, np.uint8).reshape(mask.size[::-1]))
    assert abs(cut(drawn).shape[1] - expected.shape[1]) <= 8  # some pairs are kerned in one of them
    assert likeness(drawn, expected) > 0.8


@raqm
def test_faces_without_the_rules_of_a_script_are_not_taken(monkeypatch):
    faces = faces_of("arimo")
    cache = GlyphCache(faces)
    assert cache.shapes(0, {"HEBREW"}) and not cache.shapes(0, {"DEVANAGARI"})
    renderer = WordRenderer(RenderStyle.preset("easy"), faces)
    with pytest.raises(DataError, match="no font has all characters of 'किताब' and the rules of its script"):
        renderer.check("किताब")
    renderer.check("שלום")
    monkeypatch.setattr(GlyphCache, "_differs", lambda *_: False)
    with pytest.raises(DataError, match="rules of its script"):
        WordRenderer(RenderStyle.preset("easy"), faces).check("שלום")


@raqm
@pytest.mark.parametrize(("package", "words"), [
    ("noto_sans_arabic", ["سلام", "كتاب", "مدرسة"]), ("kalam", ["हिन्दी", "किताब", "पुस्तक"]),
    ("arimo", ["cafe\u0301", "nai\u0308ve", "u\u0308ber", "apple"]), ("arimo", ["İstanbul", "IRMAK", "çığ"])])
def test_lexicons_of_users_are_drawn_with_the_right_labels(package, words, tmp_path, monkeypatch):
    faces_of(package)
    fonts = str(Path(importlib.util.find_spec(f"fontpkg_{package}").origin).parent)
    (tmp_path / "words.txt").write_text("\n".join(words), encoding="utf-8")
    drawn = []
    original = WordRenderer._layers
    monkeypatch.setattr(WordRenderer, "_layers", lambda self, text, *rest: (
        drawn.append(text) or original(self, text, *rest)))
    out = tmp_path / "set"
    generate_synth.main(["--output_dir", str(out), "--train", "12", "--test", "2", "--digits_ratio", "0",
                         "--no-disjoint", "--difficulty", "easy", "--lexicon", str(tmp_path / "words.txt"), "--fonts",
                         fonts, "--workers", "1"])
    source = SynthSource(str(out), "train")
    assert [source.text(number) for number in range(12)] == drawn[:12]
    if words[0] == "İstanbul":
        assert set(drawn) <= {"istanbul", "İstanbul", "İSTANBUL", "ırmak", "Irmak", "IRMAK", "çığ", "Çığ", "ÇIĞ"}


def test_turkish_letters_keep_their_dots():
    assert is_turkish(["İstanbul"]) and is_turkish(["ırmak"]) and not is_turkish(["istanbul", "IRMAK"])
    assert [lowered(word, True) for word in ("İSTANBUL", "IRMAK", "Çığ")] == ["istanbul", "ırmak", "çığ"]
    assert [uppered(word, True) for word in ("istanbul", "ırmak")] == ["İSTANBUL", "IRMAK"]
    assert capitalised("istanbul", True) == "İstanbul" and capitalised("ırmak", True) == "Irmak"
    assert capitalised("istanbul") == "Istanbul" and uppered("istanbul") == "ISTANBUL"
    plan = plan_words(["İstanbul", "IRMAK"], {"train": 4}, digits_ratio=0.0)
    assert sorted(plan.lexicon) == ["istanbul", "ırmak"] and plan.turkish
    for text in ("İSTANBUL", "İstanbul", "istanbul"):
        assert spelled(text, "istanbul") == text
    assert spelled("IRMAK", "ırmak") == "IRMAK" and spelled("IRMAK", "orman") == ""


def test_texts_are_composed(tmp_path):
    (tmp_path / "words.txt").write_text("cafe\u0301\n", encoding="utf-8")
    assert read_lexicon(tmp_path / "words.txt") == ["caf\u00e9"]
    assert plan_words(["u\u0308ber"], {"train": 1}, digits_ratio=0.0).lexicon == ["\u00fcber"]
    renderer = WordRenderer(RenderStyle.preset("easy"), find_fonts(clean=True), seed=1)
    assert np.array_equal(renderer.draw("cafe\u0301", 1), renderer.draw("caf\u00e9", 1))
    assert renderer.encode("cafe\u0301", 2)[0].lower() == "caf\u00e9"
    write_synth(tmp_path / "set", train=3, words=["cafe\u0301"], workers=1, progress=False, digits_ratio=0.0)
    assert (tmp_path / "set" / "lexicon.txt").read_text(encoding="utf-8") == "caf\u00e9\n"
