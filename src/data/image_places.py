"""Where the images of a list are: its paths are often relative to another folder than its own."""
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

INNER = ("images", "image", "imgs", "img")
_PARENTS = 3
_MOST_LEFT_OUT = 12


@dataclass(frozen=True)
class ImagePlace:
    """How the paths of a list lead to its images.

    Attributes:
        folder: they are relative to it.
        left_out: folders at the beginning of each path that do not count.
        slashes: backslashes separate folders.
        found: whether an image was found this way; otherwise it is where they should be.
    """

    folder: str
    left_out: int = 0
    slashes: bool = False
    found: bool = True


def find_place(list_folder: str, paths: Sequence[bytes], image_folder: str = "", inner: Sequence[str] = (),
               is_absolute: bool = False) -> ImagePlace:
    """Looks for some images of a list: in its folder, in ones inside and above it, then by the ends of their paths.

    Args:
        list_folder: where the list lies.
        paths: some of its paths, without a leading slash.
        image_folder: where the user says the images are; looked at first.
        inner: names of folders inside to look into, before the usual ones.
        is_absolute: the paths were absolute.

    Returns:
        The first place where one of them exists, or the list's folder.
    """
    for slashes in (False, True):
        if slashes and not any(b"\\" in path for path in paths):
            break
        looked_at = [path.replace(b"\\", b"/") if slashes else path for path in paths]
        for folder, left_out in _places(list_folder, image_folder, inner, looked_at, is_absolute):
            shortened = (without_first(path, left_out) for path in looked_at)
            if any(path and os.path.isfile(os.path.join(os.fsencode(folder), path)) for path in shortened):
                return ImagePlace(folder, left_out, slashes)
    return ImagePlace(image_folder or list_folder, found=False)


def _places(list_folder: str, image_folder: str, inner: Sequence[str], paths: Sequence[bytes],
            is_absolute: bool) -> Iterator[tuple[str, int]]:
    inside = [os.path.join(list_folder, name) for name in (*inner, *INNER)]
    above, parent = [], os.path.abspath(list_folder)
    for _ in range(_PARENTS):
        parent = os.path.dirname(parent)
        above.append(parent)
    near = [*filter(None, [image_folder]), list_folder, *inside]
    if not is_absolute:
        yield from ((folder, 0) for folder in (*near, *above))
    elif image_folder:
        yield image_folder, 0
    depth = max(path.count(b"/") for path in paths)
    for left_out in range(1, min(depth, _MOST_LEFT_OUT) + 1):
        yield from ((folder, left_out) for folder in near)


def without_first(path: bytes, count: int) -> bytes:
    """A path without its first folders; empty where it has no more than these."""
    parts = path.split(b"/", count)
    return parts[count] if len(parts) > count else b""
