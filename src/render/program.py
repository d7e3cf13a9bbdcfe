"""The run of generate_synth.py: a set in the MJSynth layout, or a contact sheet to look at."""
import argparse
from dataclasses import replace
from pathlib import Path

import cv2

from src.common.errors import DataError
from src.common.picture import write_picture
from src.render.fonts import find_fonts
from src.render.renderer import WordRenderer
from src.render.sheet import beside, contact_sheet
from src.render.style import RenderStyle
from src.render.words import plan_words, read_lexicon
from src.render.writer import write_synth


def draw(args: argparse.Namespace) -> None:
    """Draws what the command line asks for.

    Raises:
        CRNNError: wrong input.
    """
    style = RenderStyle.preset(args.difficulty)
    words = read_lexicon(args.lexicon) if args.lexicon else None
    if args.output_dir is not None:
        _write(args, style, words)
    if args.contact_sheet is not None:
        _sheet(args, style, words)


def _codes_ratio(args: argparse.Namespace) -> float:
    """Codes come with numbers, unless they are told apart."""
    if args.codes_ratio is not None:
        return args.codes_ratio
    return min(0.9 * args.digits_ratio, max(0.0, 1 - args.digits_ratio))


def _write(args: argparse.Namespace, style: RenderStyle, words: list[str] | None) -> None:
    report = write_synth(
        args.output_dir, train=args.train, val=args.val, test=args.test, words=words, style=style, seed=args.seed,
        workers=args.workers, fonts=args.fonts, random_strings=args.random_strings, digits_ratio=args.digits_ratio,
        codes_ratio=_codes_ratio(args), min_length=args.min_length, max_length=args.max_length, disjoint=args.disjoint,
        scene_lengths=args.scene_lengths, overwrite=args.overwrite)
    for split, count in report["images"].items():
        if count:
            print(f"{split}: {count} images of {report['words'][split]} words")
    for reason, count in report["left_out"].items():
        print(f"left out: {count} lexicon words ({reason})")
    print(f"{len(report['fonts'])} font faces; complete: {Path(args.output_dir) / 'synth.json'}")


def _sheet(args: argparse.Namespace, style: RenderStyle, words: list[str] | None) -> None:
    plan = plan_words(words, {"train": 60}, seed=args.seed, random_strings=args.random_strings,
                      digits_ratio=args.digits_ratio, codes_ratio=_codes_ratio(args), min_length=args.min_length,
                      max_length=args.max_length, scene_lengths=args.scene_lengths)
    style = replace(style, turkish=plan.turkish)
    renderer = WordRenderer(style, find_fonts(args.fonts, clean=style.clean_fonts), args.seed)
    cells = [renderer.sample([plan.lexicon[row]], number) for number, row in enumerate(plan.rows["train"].tolist())]
    picture = contact_sheet(cells)
    if args.contact_beside:
        names = sorted(item for item in Path(args.contact_beside).rglob("*")
                       if item.suffix.lower() in (".png", ".jpg", ".jpeg"))
        step = max(1, len(names) // 60)
        images = [(item.stem, cv2.imread(str(item))) for item in names[::step][:60]]
        images = [(name, image) for name, image in images if image is not None]
        if not images:
            raise DataError(f"{args.contact_beside} has no images to put beside the drawn ones")
        picture = beside(picture, contact_sheet(images))
    write_picture(args.contact_sheet, picture)
    print(f"contact sheet: {args.contact_sheet}")
