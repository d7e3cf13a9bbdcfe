"""The image files that people name: files, folders of them, and what their names tell."""
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from src.common.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".gif", ".jp2")


def find_images(arguments: Sequence[str]) -> list[str]:
    """The files named, and the images in the folders named with everything below them, each folder sorted.

    Links to folders are followed, each folder once.

    Hidden files and folders (with a dot in front, such as the copies that macOS leaves in archives) do not count
    unless they are named.

    Raises:
        DataError: nothing named, no such path, or a folder without images.
    """
    if not arguments:
        raise DataError("no image given; name image files or folders: python predict.py IMAGE|FOLDER ...")
    found: list[str] = []
    for argument in arguments:
        if os.path.isdir(argument):
            inside = sorted(_images_below(argument), key=Path)
            if not inside:
                raise DataError(f"folder {argument} holds no image ({', '.join(ENDINGS)})")
            found += inside
        elif os.path.exists(argument):
            found.append(argument)
        else:
            raise DataError(f"{argument or repr('')} does not exist; name image files or folders")
    return found


def _images_below(folder: str) -> Iterator[str]:
    seen = set()  # a linked folder may hold the one above it
    for place, folders, files in os.walk(folder, followlinks=True):
        state = os.stat(place)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(ENDINGS):
                yield os.path.join(place, name)


def choose_evenly(paths: Sequence[str], count: int) -> list[str]:
    """At most ``count`` of the paths, evenly spread over them."""
    chosen = np.unique(np.linspace(0, len(paths) - 1, count).astype(int))
    return [paths[i] for i in chosen]
