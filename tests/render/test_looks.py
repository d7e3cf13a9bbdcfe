"""What each look of the renderer changes, measured on the picture."""
import dataclasses
import math

import cv2
import numpy as np
import pytest

from src.render import RenderStyle, WordRenderer, find_fonts
from src.render import renderer as renderer_module
from src.render.degrade import degrade, light
from src.render.dice import DiceCup
from src.render.displays import dot_matrix, seven_segments
from src.render.effects import Plan, draw_plan, layers
from src.render.fonts import FontFace
from src.render.geometry import Arc, area, bend, draw_arc, steep_corners
from src.render.glyphs import GlyphCache, compose
from src.render.paint import paint
from src.render.palette import brightness, lit_colours, relief_colours
from src.render.surroundings import Neighbour, draw_neighbours, surround

LOOKS = {"curve": 0.0, "slant": 0.0, "neon": 0.0, "relief": 0.0, "dots": 0.0, "segments": 0.0, "two_tone": 0.0,
         "neighbour": 0.0, "shade": 0.0, "dim": 0.0, "phone": 0.0}
CALM = dataclasses.replace(RenderStyle.preset("easy"), margin=(0.1, 0.1), geometry=0.0)


@pytest.fixture(scope="module")
def plain() -> list[FontFace]:
    return find_fonts(clean=True)


def centres(mask: np.ndarray, parts: int) -> np.ndarray:
    """Centroids (parts, 2), x and y, of the connected pieces of ink from left to right."""
    count, _, _, found = cv2.connectedComponentsWithStats((mask > 127).astype(np.uint8))
    assert count == parts + 1
    return found[1:][np.argsort(found[1:, 0])]


def bars(count: int) -> np.ndarray:
    mask = np.zeros((20, 20 * count), np.uint8)
    mask[:, 6::20] = mask[:, 7::20] = mask[:, 8::20] = 255
    return mask


@pytest.mark.parametrize(("degrees", "offset"), [(30, 0.0), (90, 0.0), (120, 0.2), (-60, 0.0), (-120, -0.15)])
def test_letters_follow_the_arc_and_are_turned_along_it(degrees, offset):
    mask = bars(10)
    arc = Arc(math.radians(degrees), offset)
    bent = bend(mask, arc)
    found = centres(bent, 10)
    # A circle through the letters' middles (least squares), against the arc's own geometry.
    system = np.column_stack([2 * found, np.ones(10)])
    (x, y, rest), *_ = np.linalg.lstsq(system, (found ** 2).sum(axis=1), rcond=None)
    radius = math.sqrt(rest + x * x + y * y)
    assert radius == pytest.approx(200 / abs(arc.angle), rel=0.03)
    assert (y > found[:, 1].max()) == (degrees > 0)  # the centre is below an arch, above a bowl
    turns = np.arctan2(found[:, 0] - x, abs(y - found[:, 1]))
    assert np.degrees(turns[-1] - turns[0]) == pytest.approx(0.9 * abs(degrees), abs=2)
    assert turns.mean() == pytest.approx(offset, abs=0.03)
    for place in (0, 9):  # a bar points at the centre
        _, labels = cv2.connectedComponents((bent > 127).astype(np.uint8))
        rows, columns = np.nonzero(labels == labels[round(found[place, 1]), round(found[place, 0])])
        spread = np.linalg.svd(np.column_stack([columns, rows]) - found[place], full_matrices=False)[2][0]
        towards = np.array([x, y]) - found[place]
        assert abs(spread @ towards) / np.linalg.norm(towards) > 0.98
    # Nothing is cut off, and the order of the letters stays: areas of the bars are those of the flat word.
    assert (bent > 127).sum() == pytest.approx((mask > 127).sum(), rel=0.08)


def test_arcs_are_strong_in_both_directions_and_weaker_for_short_words():
    cup = DiceCup(3)
    style = RenderStyle()
    long = [draw_arc(cup.roll(index), style, 8) for index in range(600)]
    angles = np.degrees([arc.angle for arc in long])
    assert np.abs(angles).max() > 115 and np.abs(angles).max() <= 120 and np.abs(angles).min() >= 15
    assert 0.5 < np.mean(angles > 0) < 0.7 and np.mean(np.abs(angles) > 60) > 0.4
    assert all(abs(arc.angle) / 2 + abs(arc.offset) <= math.radians(85) + 1e-9 for arc in long)
    assert max(abs(draw_arc(cup.roll(index), style, 3).angle) for index in range(200)) <= math.radians(72)


def test_steep_words_rise_or_fall_and_shrink_to_one_end():
    slopes, ends = [], []
    for index in range(800):
        points, _ = steep_corners(DiceCup(4).roll(index), RenderStyle(), 60.0, 20.0)
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = points
        assert area(points) > 200 and min(x1, x2) > max(x0, x3)
        slopes.append(math.degrees(math.atan2((y1 + y2 - y0 - y3) / 2, (x1 + x2 - x0 - x3) / 2)))
        ends.append(math.dist((x1, y1), (x2, y2)) / math.dist((x0, y0), (x3, y3)))
    assert np.mean(np.abs(slopes) > 15) > 0.4 and 30 < np.abs(slopes).max() < 45
    assert 0.4 < np.mean(np.array(slopes) > 0) < 0.6
    assert np.mean((np.array(ends) < 0.85) | (np.array(ends) > 1.18)) > 0.4
    long = [steep_corners(DiceCup(4).roll(index), RenderStyle(), 200.0, 20.0)[0] for index in range(200)]
    assert max(max(y for _, y in points) - min(y for _, y in points) for points in long) < 4 * 20


@pytest.mark.parametrize("square", [False, True])
def test_dot_matrix_has_a_grid(square):
    shown = dot_matrix(np.full((60, 180), 255, np.uint8), 12, square)
    assert shown.shape == (60, 180)
    assert (shown[::5, ::5] < 70).all() and (shown[2::5, 2::5] > 200).all()
    assert shown[:, ::5].mean() < 0.6 * shown[:, 2::5].mean()
    empty = dot_matrix(np.zeros((60, 180), np.uint8), 12, square)
    assert not empty.any()


def test_seven_segments_light_what_each_digit_needs():
    lit = {"0": 6, "1": 2, "2": 5, "3": 5, "4": 4, "5": 5, "6": 6, "7": 3, "8": 7, "9": 6}  # as every clock has them
    for digit, segments in lit.items():
        count, _, stats, _ = cv2.connectedComponentsWithStats((seven_segments(digit) > 127).astype(np.uint8))
        assert count - 1 == segments and stats[1:, cv2.CC_STAT_AREA].min() > 60
    # Top, upper left and right, middle, lower left and right, bottom; beside an 8, which keeps the digit in its place.
    shapes = {"0": "1110111", "1": "0010010", "2": "1011101", "3": "1011011", "4": "0111010", "5": "1101011",
              "6": "1101111", "7": "1010010", "8": "1111111", "9": "1111011"}
    places = [(4, 18), (20, 4), (20, 32), (36, 18), (52, 4), (52, 32), (67, 18)]
    for digit, shape in shapes.items():
        shown = cv2.copyMakeBorder(seven_segments("8" + digit), 0, 0, 0, 10, cv2.BORDER_CONSTANT, value=0)
        assert "".join(str(int(shown[y, 49 + x] > 127)) for y, x in places) == shape, digit
    masks = [seven_segments(digit, slant=0.1) for digit in "023456789"]
    assert len({mask.tobytes() for mask in masks}) == 9
    assert seven_segments("88").shape[1] > 2 * seven_segments("8").shape[1]
    assert seven_segments("88", spacing=0.3).shape[1] > seven_segments("88").shape[1]


def test_halo_fades_around_neon_and_edges_of_relief_lie_at_opposite_sides(plain):
    word = compose(GlyphCache(plain).table(0, 44), "Hi", pad=30)
    ink = int(np.flatnonzero(word.any(axis=1)).size)
    _, halo = layers(word, ink, Plan(look="neon", halo=0.2))
    outside = cv2.distanceTransform((word < 128).astype(np.uint8), cv2.DIST_L2, 5)
    near, middle, far = (float(halo[(outside > low) & (outside <= high)].mean()) for low, high in
                         ((0, 3), (4, 7), (18, 30)))
    assert near > middle + 15 > far + 15 and far < 8
    _, bright, dark = layers(word, ink, Plan(look="relief", edge=(-0.05, -0.05)))
    assert not (np.minimum(bright, dark) > 128).any()
    shift = [float(np.average(np.arange(mask.shape[0]), weights=mask.sum(axis=1))) for mask in (bright, dark)]
    assert shift[1] != shift[0]
    moved = np.roll(word, (2, 2), axis=(0, 1)).astype(int) - np.roll(word, (-2, -2), axis=(0, 1))
    assert np.array_equal(bright, np.clip(moved, 0, 255)) and np.array_equal(dark, np.clip(-moved, 0, 255))


def test_lights_shine_on_dark_and_relief_has_the_colour_of_its_ground():
    for index in range(300):
        lit = lit_colours(DiceCup(1).roll(index))
        assert brightness(lit.ground) < 60 and brightness(lit.letters) > brightness(lit.ground) + 40
        relief, dark = relief_colours(DiceCup(2).roll(index))
        ground = brightness(relief.ground)
        assert abs(brightness(relief.letters) - ground) < 0.16 * ground
        assert brightness(relief.third) > ground + 20 and brightness(dark) < ground - 20


def test_two_tones_are_two_colours_on_one_side_of_the_ground():
    alphas = [np.ones((30, 120), np.float32)]
    style = dataclasses.replace(RenderStyle(), **LOOKS, fill_texture=0.0, clutter=0.0)
    spread = {}
    for share in (0.0, 1.0):
        drawn = [paint(alphas, Plan(), 60.0, DiceCup(5).roll(index), dataclasses.replace(style, two_tone=share))[0]
                 for index in range(60)]
        spread[share] = [float(planes.std(axis=(1, 2)).max()) for planes in drawn]
    assert max(spread[0.0]) < 1 and np.mean(np.array(spread[1.0]) > 8) > 0.7


@pytest.mark.parametrize("peek", [0.2, 0.9])
@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_neighbours_peek_in_at_their_side(plain, side, peek):
    table = GlyphCache(plain).table(0, 44)
    word = compose(table, "STREET")
    height, width = word.shape
    text = "O" if side in ("left", "right") else "OOOOOOOOO"
    canvas, x, y = surround(word, "STREET", table, {side: Neighbour(0.3, peek, text)}, DiceCup(1).roll(0))
    assert np.array_equal(canvas[y:y + height, x:x + width], word)
    rest = canvas.copy()
    rest[y:y + height, x:x + width] = 0
    ys, xs = np.nonzero(rest)
    assert len(ys) > 20
    gap = {"top": y - ys.max(), "bottom": ys.min() - (y + height) + 1, "left": x - xs.max(),
           "right": xs.min() - (x + width) + 1}[side]
    assert 0.2 * height < gap < 0.45 * height
    depth = np.ptp(xs) + 1 if side in ("left", "right") else np.ptp(ys) + 1
    assert depth <= 0.36 * 1.03 * table["O"].mask.shape[0]


def test_neighbours_come_at_every_side():
    style = RenderStyle()
    found = [draw_neighbours(DiceCup(6).roll(index), style, 5) for index in range(3000)]
    assert abs(np.mean([bool(sides) for sides in found]) - style.neighbour) < 0.03
    assert {side for sides in found for side in sides} == {"top", "bottom", "left", "right"}


def test_a_neighbour_is_seen_in_the_image(plain):
    dark = {}
    for share in (0.0, 1.0):
        renderer = WordRenderer(dataclasses.replace(CALM, neighbour=share, noise=0.0, contrast=120.0), plain, seed=2)
        border = []
        for index in range(40):
            grey = cv2.cvtColor(renderer.draw("COUNT", index), cv2.COLOR_BGR2GRAY).astype(float)
            edge = np.concatenate([grey[:2].ravel(), grey[-2:].ravel(), grey[:, :2].ravel(), grey[:, -2:].ravel()])
            border.append(np.mean(np.abs(edge - np.median(edge)) > 50))
        dark[share] = np.mean(np.array(border) > 0.02)
    assert dark[0.0] < 0.1 and dark[1.0] > 0.75


def sharpness(image: np.ndarray) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.CV_32F).var())


def test_phone_pictures_lose_detail_and_dim_ones_light():
    calm = dataclasses.replace(RenderStyle(), **LOOKS, blur=0.0, motion=0.0, low_resolution=0.0, noise=0.0, tone=0.0)
    board = np.kron(np.indices((12, 40)).sum(axis=0) % 2, np.ones((4, 4)))[..., None].repeat(3, 2) * 180.0 + 20
    for index in range(20):
        whole = degrade(DiceCup(7).roll(index), calm, board.astype(np.float32), 8.0, 48.0, 180.0)
        small = degrade(DiceCup(7).roll(index), dataclasses.replace(calm, phone=1.0), board.astype(np.float32), 8.0,
                        48.0, 180.0)
        assert small.shape == whole.shape and sharpness(small) < 0.75 * sharpness(whole)
        dim = degrade(DiceCup(7).roll(index), dataclasses.replace(calm, dim=1.0), board.astype(np.float32), 8.0, 48.0,
                      180.0).astype(float)
        assert dim.mean() < 0.65 * whole.mean()
        seen = dim[board > 100].mean() - dim[board < 100].mean()
        assert seen > 15 and seen > 2 * dim[board > 100].std()


def test_a_shadows_edge_splits_the_light():
    style = dataclasses.replace(RenderStyle(), **{**LOOKS, "shade": 1.0}, light=0.0, glare=0.0)
    ratios = []
    for index in range(100):
        planes = np.full((3, 32, 120), 200, np.float32)
        light(DiceCup(8).roll(index), style, planes)
        ratios.append(planes.min() / planes.max())
    assert np.mean(np.array(ratios) < 0.8) > 0.9 and min(ratios) > 0.4


def test_special_looks_keep_to_their_shares():
    style = RenderStyle()
    plans = [draw_plan(DiceCup(9).roll(index), style) for index in range(6000)]
    for look, share in (("neon", style.neon), ("relief", style.relief), ("dots", style.dots)):
        assert abs(np.mean([plan.look == look for plan in plans]) - share) < 0.01
    assert np.mean([plan == Plan() for plan in plans]) > 0.5
    numbers = [draw_plan(DiceCup(9).roll(index), style, number=True) for index in range(3000)]
    assert abs(np.mean([plan.look == "segments" for plan in numbers]) - style.segments) < 0.025
    assert not any(plan.look == "segments" for plan in plans)


@pytest.mark.parametrize("look", ["curve", "slant", "neon", "relief", "dots", "segments", "two_tone", "neighbour",
                                  "shade", "dim", "phone"])
def test_each_look_is_drawn_alike_from_the_same_seed_and_keeps_its_label(plain, look):
    style = dataclasses.replace(RenderStyle(), **{**LOOKS, look: 1.0})
    first, again = WordRenderer(style, plain, seed=4), WordRenderer(style, plain, seed=4)
    without = WordRenderer(dataclasses.replace(style, **LOOKS), plain, seed=4)
    words = ["harbour", "2047", "a", "internationalisation"]
    different = 0
    for index in range(16):
        word = words[index % 4]
        text, data = first.encode(word, index)
        assert (text, data) == again.encode(word, index)
        assert text.lower() == word
        different += data != without.encode(word, index)[1]
    assert different >= (4 if look == "segments" else 8)


def test_curved_and_steep_words_are_seen_so_in_the_image(plain, monkeypatch):
    bends = []
    original = renderer_module.bend
    monkeypatch.setattr(renderer_module, "bend", lambda mask, arc: bends.append(arc) or original(mask, arc))
    style = dataclasses.replace(CALM, curve=1.0, arc=(100.0, 100.0))
    renderer = WordRenderer(style, plain, seed=5)
    for index in range(12):
        alphas = []
        monkeypatch.setattr(renderer_module, "paint", lambda found, *rest: (
            alphas.append(found[0].copy()) or paint(found, *rest)))  # noqa: B023
        renderer.draw("NNNNNNNNN", index)
        alpha = alphas[0]
        columns = np.arange(alpha.shape[1])
        down = (alpha * np.arange(len(alpha))[:, None]).sum(axis=0) / np.maximum(alpha.sum(axis=0), 1e-6)
        inked = alpha.sum(axis=0) > 1
        curvature = np.polyfit(columns[inked] / len(alpha), down[inked] / len(alpha), 2)[0]
        assert curvature > 0.05 if bends[-1].angle > 0 else curvature < -0.05
