"""Renderer: fonts, glyphs, colours, images."""
import dataclasses
import json
import struct
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from src.common.errors import ConfigError, DataError
from src.render import RenderStyle, WordRenderer, find_fonts
from src.render import renderer as renderer_module
from src.render.dice import DiceCup
from src.render.effects import Plan, layers
from src.render.fonts import CHARACTERS, FontFace, covers, font_files, has_kern_table, open_face
from src.render.glyphs import TIERS, GlyphCache, compose
from src.render.paint import paint
from src.render.palette import brightness, draw_colours, letters_on
from src.render.sheet import beside, contact_sheet
from src.render.style import LEVELS
from src.render.textures import cut, grain, paint_ground, textures


@pytest.fixture(scope="module")
def plain() -> list[FontFace]:
    return find_fonts(clean=True)


@pytest.fixture(scope="module")
def hard() -> WordRenderer:
    return WordRenderer(RenderStyle.preset("hard"), seed=3)


@pytest.fixture(scope="module")
def easy(plain) -> WordRenderer:
    return WordRenderer(RenderStyle.preset("easy"), plain, seed=3)


def ink(font: ImageFont.FreeTypeFont, text: str) -> np.ndarray:
    """A text drawn by Pillow's own drawing call, cut to its ink."""
    picture = Image.new("L", (1400, 300), 0)
    ImageDraw.Draw(picture).text((100, 100), text, fill=255, font=font)
    array = np.array(picture)
    rows, columns = np.flatnonzero(array.any(axis=1)), np.flatnonzero(array.any(axis=0))
    return array[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1] if len(rows) else array[:0, :0]


# dice


def test_dice_depend_on_seed_and_index_alone():
    cup = DiceCup(5)
    first = cup.roll(7)
    head = [first.uniform() for _ in range(60)]
    cup.roll(8).uniform()  # another image in between, across the end of a block
    whole = head + [first.uniform() for _ in range(240)]
    again = DiceCup(5).roll(7)
    assert whole == [again.uniform() for _ in range(300)]
    assert whole != [value for dice in (DiceCup(6).roll(7), DiceCup(5).roll(8)) for value in [dice.uniform()]]
    assert len(set(whole)) == 300


def test_dice_distributions():
    dice = DiceCup(1).roll(0)
    normal = np.array([dice.normal(2.0) for _ in range(20000)])
    assert abs(normal.mean()) < 0.06 and abs(normal.std() - 2) < 0.06
    shares = Counter(dice.weighted((1.0, 0.0, 3.0)) for _ in range(8000))
    assert shares[1] == 0 and abs(shares[2] / 8000 - 0.75) < 0.03
    assert {dice.below(3) for _ in range(200)} == {0, 1, 2}
    values = [dice.log_uniform(10, 1000) for _ in range(4000)]
    assert min(values) >= 10 and max(values) <= 1000 and abs(np.median(values) - 100) < 12


# fonts


def test_every_face_draws_every_character(plain):
    missing_sign = "\U0010fffe"
    for face in [*plain, *find_fonts()[::11]]:
        font = ImageFont.truetype(face.path, 32, face.index, layout_engine=ImageFont.Layout.BASIC)
        if face.axes:
            font.set_variation_by_axes(list(face.axes))
        missing = ink(font, missing_sign)
        for character in CHARACTERS:
            drawn = ink(font, character)
            assert drawn.size, f"{face.name} draws nothing for {character}"
            assert drawn.shape != missing.shape or (drawn != missing).any(), f"{face.name} has no {character}"


def test_packaged_fonts_give_dozens_of_looks():
    faces = find_fonts()
    assert len({face.family for face in faces}) >= 40
    assert len(faces) >= 100
    assert any(face.decorative for face in faces) and any(face.unicase for face in faces)
    assert {face.family for face in faces if face.unicase} >= {"Bebas Neue"}
    assert not any(face.unicase for face in faces if face.family in ("Arimo", "Roboto", "Anton", "PT Serif"))


def test_clean_faces_are_plain_and_upright(plain):
    assert len(plain) >= 8
    for face in plain:
        assert not face.decorative and not face.slanted and not face.unicase


def test_missing_glyphs_are_noticed(plain):
    font = open_face(plain[0], 40)
    assert covers(font, "aZ9&")
    assert not covers(font, "a\u4e2d")
    assert not covers(font, " ")


def test_unusable_files_are_no_fonts(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"\0\1\0\0" + bytes(300))
    assert font_files([tmp_path]) == [tmp_path / "broken.ttf"]
    with pytest.raises(DataError, match="no font with the characters"):
        find_fonts([str(tmp_path)])
    with pytest.raises(DataError, match="does not exist"):
        find_fonts([str(tmp_path / "nowhere")])


def test_faces_are_kerned_as_pillow_kerns_them(plain):
    pairs = [*("AV", "To", "Ty", "VA", "Wa", "LT", "P7"), *map("".join, zip(CHARACTERS, CHARACTERS[7:], strict=False))]
    found = set()
    for number, face in enumerate(plain):
        font = open_face(face, 44)
        expected = [font.getlength(pair) - font.getlength(pair[0]) - font.getlength(pair[1]) for pair in pairs]
        table = GlyphCache(plain).table(number, 44)
        assert [table.kern(pair) * 44 for pair in pairs] == pytest.approx(expected)
        assert face.kerned or not any(expected)
        found.add((face.kerned, any(expected)))
    assert {(True, True), (False, False)} <= found


def test_kern_table_is_found_in_single_files_and_collections(tmp_path):
    def directory(*tags: bytes) -> bytes:
        return struct.pack(">IHHHH", 0x10000, len(tags), 0, 0, 0) + b"".join(tag + bytes(12) for tag in tags)

    without, having = directory(b"cmap", b"glyf"), directory(b"cmap", b"kern")
    offsets = (20, 20 + len(without))
    collection = b"ttcf" + struct.pack(">IIII", 0x10000, 2, *offsets) + without + having
    for name, content in (("a.ttf", without), ("b.ttf", having), ("c.ttc", collection), ("d.ttf", having[:28]),
                          ("e.ttf", having[:20]), ("f.ttc", collection[:15]), ("g.ttf", b"wOFF" + having[4:])):
        (tmp_path / name).write_bytes(content)
    assert not has_kern_table(tmp_path / "a.ttf") and has_kern_table(tmp_path / "b.ttf")
    assert not has_kern_table(tmp_path / "c.ttc", 0) and has_kern_table(tmp_path / "c.ttc", 1)
    assert has_kern_table(tmp_path / "g.ttf")
    for name in ("d.ttf", "e.ttf", "f.ttc"):
        with pytest.raises(ValueError, match=f"{name} ends inside its table directory"):
            has_kern_table(tmp_path / name)


def test_decorative_faces_are_held_to_their_share(hard):
    chosen = [hard._face("word", hard._cup.roll(index), False) for index in range(3000)]
    share = np.mean([hard.fonts[number].decorative for number in chosen])
    assert abs(share - hard.style.decorative_share) < 0.03
    bold = np.mean([hard.fonts[number].stroke >= 0.16 for number in chosen])
    assert bold > 0.5


# glyphs


@pytest.mark.parametrize("size", TIERS)
def test_composed_word_equals_pillows(plain, size):
    for number in (0, len(plain) // 2, len(plain) - 1):
        cache = GlyphCache(plain)
        word = compose(cache.table(number, size), "AVamburg7")
        expected = ink(open_face(plain[number], size), "AVamburg7")
        # Letters stand at whole pixels here, kerning comes from another size.
        assert abs(word.shape[0] - expected.shape[0]) <= 1
        assert abs(word.shape[1] - expected.shape[1]) <= max(3, 0.03 * expected.shape[1])
        assert abs(int(word.sum()) - int(expected.sum())) < 0.04 * expected.sum()
        assert word[0].any() and word[-1].any() and word[:, 0].any() and word[:, -1].any()


def test_compose_spacing_and_offsets(plain):
    table = GlyphCache(plain).table(0, 44)
    tight = compose(table, "abc")
    assert compose(table, "abc", spacing=5.0).shape[1] == tight.shape[1] + 10
    assert compose(table, "aaa", offsets=[0.0, 6.0, 0.0]).shape[0] == compose(table, "aaa").shape[0] + 6
    padded = compose(table, "abc", pad=4)
    assert np.array_equal(padded[4:-4, 4:-4], tight) and not padded[:4].any()


def test_table_for_is_never_too_small(plain):
    cache = GlyphCache(plain, limit=3, fonts=2)
    for height in (9, 20, 45):
        table = cache.table_for(0, "xo", height)
        top, bottom = table.extent("xo")
        assert bottom - top >= 0.85 * height
    assert len(cache._tables) <= 3 and sum(map(len, cache._fonts.values())) <= 3


def test_layers_cover_what_they_should(plain):
    word = compose(GlyphCache(plain).table(0, 44), "Hi", pad=20)
    height = int(np.flatnonzero(word.any(axis=1)).size)
    outlined = layers(word, height, Plan(border=0.1))
    assert (outlined[1] >= word).all() and outlined[1].sum() > 1.2 * word.sum()
    hollow = layers(word, height, Plan(border=0.1, hollow=True))
    assert len(hollow) == 1 and not (hollow[0][word == 255]).any()
    shadowed = layers(word, height, Plan(shadow=(0.1, -0.1)))[1]
    step = round(0.1 * height)
    assert np.array_equal(shadowed[:-step, step:], word[step:, :-step])
    extruded = layers(word, height, Plan(extrude=(0.1, 0.1)))[1]
    assert (extruded >= word).all() and (extruded[step:, step:] >= word[:-step, :-step]).all()


# colours and backgrounds


@pytest.mark.parametrize("floor", [30.0, 90.0, 127.0])
def test_contrast_floor_of_colours(floor):
    cup = DiceCup(9)
    gaps, polarity = [], []
    for index in range(2000):
        colours = draw_colours(cup.roll(index), floor)
        gap = brightness(colours.letters) - brightness(colours.ground)
        gaps.append(abs(gap))
        polarity.append(gap > 0)
        assert all(0 <= value <= 255 for value in (*colours.letters, *colours.ground, *colours.third))
    assert min(gaps) >= floor - 0.5
    assert 0.25 < np.mean(polarity) < 0.75


def test_letters_on_takes_the_extreme_where_the_floor_cannot_be_met():
    dice = DiceCup(1).roll(0)
    assert letters_on(dice, (120.0, 120.0, 120.0), 200.0) == (255.0, 255.0, 255.0)
    assert letters_on(dice, (140.0, 140.0, 140.0), 200.0) == (0.0, 0.0, 0.0)


def test_textures_are_normalised():
    for tile in textures():
        assert abs(float(tile.mean())) < 1e-3 and abs(float(tile.std()) - 1) < 1e-3
    assert grain().shape[2] == 3 and abs(float(grain().std()) - 1) < 0.02
    window = cut(textures()[0], DiceCup(1).roll(0), 64, 480)
    assert window.shape == (64, 480)


def test_background_stays_near_its_colour():
    style = dataclasses.replace(RenderStyle(), clutter=0.0)
    for index in range(200):
        planes = paint_ground(DiceCup(2).roll(index), style, (100.0, 120.0, 140.0), (0.0, 0.0, 0.0), 10.0, 20, 50)
        assert planes.shape == (3, 20, 50)
        assert np.abs(planes.mean(axis=(1, 2)) - (100, 120, 140)).max() < 40
        assert planes.std() < 30


# images


def drawn_with_mask(renderer: WordRenderer, index: int) -> tuple[np.ndarray, np.ndarray, Plan]:
    """An image with the coverage of its letters and the plan of its layers."""
    kept = {}

    def spy(alphas, plan, *rest):
        kept.update(alpha=alphas[0].copy(), plan=plan)
        return paint(alphas, plan, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(renderer_module, "paint", spy)
        _, image = renderer.sample(["Reading", "sign", "a", "WATERFRONT"], index)
    return image, kept["alpha"], kept["plan"]


def test_easy_letters_stand_out_in_the_image(easy):
    for index in range(150):
        image, alpha, _ = drawn_with_mask(easy, index)
        grey = image @ np.array([0.114, 0.587, 0.299])
        gap = abs(grey[alpha > 0.95].mean() - grey[alpha < 0.02].mean()) if (alpha > 0.95).sum() > 5 else 255
        assert gap > 0.6 * easy.style.contrast


def test_hard_letters_stand_out_in_almost_every_image(hard):
    faint = 0
    for index in range(300):
        image, alpha, plan = drawn_with_mask(hard, index)
        if plan != Plan():
            continue
        grey = image @ np.array([0.114, 0.587, 0.299])
        inside, outside = alpha > 0.8, alpha < 0.02
        if inside.sum() > 5 and outside.sum() > 5:
            faint += abs(grey[inside].mean() - grey[outside].mean()) < 0.4 * hard.style.contrast
    assert faint <= 6


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_of_the_word_is_cut_off(level):
    style = RenderStyle.preset(level)
    # Neighbours are cut off at the edge, as they should be.
    renderer = WordRenderer(dataclasses.replace(style, margin=(0.05, max(style.margin)), neighbour=0.0), seed=8)
    for index in range(120):
        _, alpha, plan = drawn_with_mask(renderer, index)
        edge = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
        # The margin is under a pixel in low images: a trace of the letters' soft edge may be there.
        if not plan.hollow:
            assert edge.sum() <= 0.02 * alpha.sum() + 1.5, index


@pytest.mark.parametrize("level", LEVELS)
def test_images_have_the_size_of_the_style(level):
    style = RenderStyle.preset(level)
    renderer = WordRenderer(style, seed=1)
    heights = []
    for index in range(120):
        text, image = renderer.sample(["internationalisation" if index % 10 == 0 else "word"], index)
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        assert 8 <= image.shape[0] <= style.height[1] and image.shape[1] <= style.max_width
        if len(text) == 4:
            heights.append(image.shape[0])
            assert image.shape[0] >= style.height[0]
    assert max(heights) - min(heights) > 0.6 * (style.height[1] - style.height[0])


def test_images_do_not_depend_on_what_was_drawn_before(hard):
    words = ["alpha", "beta", "AVATAR", "1234"]
    fresh = WordRenderer(hard.style, hard.fonts, hard.seed)
    forwards = {index: hard.encode(words[index % 4], index) for index in range(40)}
    backwards = {index: fresh.encode(words[index % 4], index) for index in reversed(range(40))}
    assert forwards == backwards
    other = WordRenderer(hard.style, hard.fonts, hard.seed + 1)
    assert other.encode("alpha", 0) != forwards[0]


def test_case_of_words(hard):
    texts = Counter(hard.sample(["street"], index)[0] for index in range(400))
    assert {text.lower() for text in texts} == {"street"}
    assert texts["STREET"] > texts["Street"] > 40 and texts["street"] > 40
    usual = sum(texts[text] for text in ("street", "STREET", "Street"))
    assert 0 < 400 - usual < 32  # miXeD
    codes = Counter(hard.sample(["h2o"], index)[0] for index in range(200))
    assert codes["H2O"] > 120


def test_unicase_faces_only_give_capitals():
    faces = [face for face in find_fonts() if face.family == "Bebas Neue"]
    renderer = WordRenderer(RenderStyle(decorative_share=0.0), faces, seed=1)
    assert {renderer.sample(["street"], index)[0] for index in range(30)} == {"STREET"}
    assert renderer.draw("OPEN", 1).ndim == 3
    with pytest.raises(DataError, match="no font has all characters"):
        renderer.draw("Open", 1)


def test_text_that_can_or_cannot_be_drawn(easy):
    assert easy.draw("Caf\u00e9 & Co/2", 1).shape[1] > 60
    assert not np.array_equal(easy.draw("hello", 1), easy.draw("HELLO", 1))
    with pytest.raises(DataError, match="no font has all characters"):
        easy.draw("\u4e2d\u6587", 1)
    with pytest.raises(DataError, match="empty word"):
        easy.draw("  ", 1)
    assert easy.undrawable("ab\u00e9\u4e2d ") == "\u4e2d"
    with pytest.raises(ConfigError, match="seed"):
        WordRenderer(seed=-1)


def test_punctuation_is_drawn_but_not_in_the_label(plain):
    style = dataclasses.replace(RenderStyle.preset("easy"), punctuation=1.0, stretch=(1.0, 1.0), geometry=0.0)
    marked = WordRenderer(style, plain, seed=1)
    bare = WordRenderer(dataclasses.replace(style, punctuation=1e-9), plain, seed=1)
    wider = 0
    for index in range(40):
        (text, image), (_, other) = marked.sample(["word"], index), bare.sample(["word"], index)
        assert text.lower() == "word"
        wider += image.shape[1] / image.shape[0] > other.shape[1] / other.shape[0]
    assert wider > 20


# style


def test_styles():
    for level in LEVELS:
        style = RenderStyle.preset(level)
        assert style.name == level
        values = style.to_dict()
        assert json.loads(json.dumps(values)) == values and values["height"] == list(style.height)
    with pytest.raises(ConfigError, match="easy, medium, hard"):
        RenderStyle.preset("brutal")


def test_contact_sheet():
    cells = [("word", np.full((30, 90, 3), 90, np.uint8)), ("w\u00fcrd", np.full((200, 900, 3), 10, np.uint8))]
    sheet = contact_sheet(cells * 4, columns=3)
    assert sheet.shape == (3 * 64, 3 * 190, 3) and sheet.dtype == np.uint8
    assert tuple(sheet[10, 10]) == (90, 90, 90)
    assert beside(sheet, contact_sheet(cells, 1)).shape == (192, 570 + 6 + 190, 3)
