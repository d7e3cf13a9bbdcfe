"""Reads word images: `python predict.py IMAGE|FOLDER ...` prints path, text and confidence, a line for each image."""
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from src.common.errors import DataError, run_main
from src.model_utils.config import load_config

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")


def main(argv: list[str] | None = None) -> int:
    """Reads the images; returns 1 when some of them could not be read."""
    config = load_config(argv, description="Read word images with a trained CRNN.", positional="IMAGE|FOLDER ...")
    paths = list(find_images(config.arguments))
    from src.model_utils.context import set_up_context  # decides on the CPU cap before MindSpore is imported
    print(set_up_context(config, own_operators=True), file=sys.stderr)
    from src.common.files import printable
    from src.common.picture import draw_sheet, write_picture
    from src.data.preprocess import InputSpec, read_image, to_batch
    from src.reading.selection import choose_decoder
    from src.recogniser import load_recogniser

    forward, charset = load_recogniser(config, min(config.batch_size, len(paths)), one_by_one=True, pretrained=True)
    decoder, spec = choose_decoder(config, charset).decoder, InputSpec.from_config(config)
    # Images that keep their ratio have widths of their own, long ones too: one at a time, each is as in evaluation.
    batch_size = 1 if len(spec.all_widths) > 1 else min(config.batch_size, len(paths))
    failed, shown = 0, []
    for first in range(0, len(paths), batch_size):
        names, images = [], []
        for path in paths[first:first + batch_size]:
            try:
                images.append(read_image(path))
                names.append(path)
            except DataError as error:
                failed += 1
                print(f"error: {error}", file=sys.stderr)
        for name, image, reading in zip(names, images, decoder(forward(to_batch(images, spec))) if images else [],
                                        strict=True):
            print(f"{printable(name)}\t{reading.text}\t{reading.confidence:.4f}", flush=True)
            if config.picture:
                shown.append((image, reading.text, reading.confidence, known_text(name)))
    if config.picture and shown:
        write_picture(config.picture, draw_sheet(shown))
        print(f"picture: {config.picture}", file=sys.stderr)
    if failed:
        print(f"{failed} of {len(paths)} images could not be read", file=sys.stderr)
    return 1 if failed else 0


def find_images(arguments: tuple[str, ...]) -> Iterator[str]:
    """Lists the files named, and the images in the folders named, sorted.

    Raises:
        DataError: nothing named, no such path, or a folder without images.
    """
    if not arguments:
        raise DataError("no image given; name image files or folders: python predict.py IMAGE|FOLDER ...")
    for argument in arguments:
        if os.path.isdir(argument):
            inside = sorted(str(path) for path in Path(argument).rglob("*") if path.suffix.lower() in ENDINGS)
            if not inside:
                raise DataError(f"folder {argument} holds no image ({', '.join(ENDINGS)})")
            yield from inside
        elif os.path.exists(argument):
            yield argument
        else:
            raise DataError(f"{argument} does not exist; name image files or folders")


def known_text(path: str) -> str | None:
    """The word in a file name of the MJSynth form ``12_Word_3456.jpg``; None for any other name or a cut word."""
    from src.render.layout import unescape
    parts = Path(path).stem.split("_")
    return unescape(parts[1]) if len(parts) == 3 and parts[0].isdigit() and parts[2].isdigit() else None


if __name__ == "__main__":
    run_main(main)
