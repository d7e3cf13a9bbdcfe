"""Finds images that show the same as a test image although their pixels differ: scaled, recompressed or cut anew."""
import cv2
import numpy as np

HASH_DISTANCE = 4  # of 64 bits that may differ between images of one word
CORRELATION_SAME_WORD = 0.90
CORRELATION_ANY_WORD = 0.97
_SIZE = (48, 16)  # columns and rows of what is correlated: an image of a word is about three times as wide as high


def difference_hash(grey: np.ndarray) -> int:
    """The 64 bits of an image that tell where it gets brighter from left to right.

    The hash is the one Neal Krawetz described in "Kind of Like That" (2013): the image is shrunk to 9 x 8 and each
    pixel compared with its right neighbour.

    Args:
        grey: (H, W) uint8.
    """
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), "big")


def standardised(grey: np.ndarray) -> np.ndarray:
    """The image in a common size as a vector of length 1 around 0: the dot product of two is their correlation.

    Args:
        grey: (H, W) uint8.

    Returns:
        (768,) float32; all 0 for an image of one grey, which is like no other.
    """
    small = cv2.resize(grey, _SIZE, interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
    small -= small.mean()
    length = np.linalg.norm(small)
    return (small / length if length > 1e-6 else small * 0).astype(np.float32)


def compared_word(text: str) -> str:
    """The form in which the words of two images are compared: letters and digits, not their case."""
    return "".join(filter(str.isalnum, text.casefold()))


class NearDuplicates:
    """Test images, and which of them a training image is too much like.

    Two images are near duplicates if they show the same word (letters and digits compared, not case) and their
    difference hashes differ in at most 4 of 64 bits or their grey values correlate with 0.90 or more; or if they
    correlate with 0.97 or more whatever their words are said to be.
    """

    def __init__(self):
        self._where: list[str] = []
        self._words: list[str] = []
        self._hashes: list[int] = []
        self._vectors: list[np.ndarray] = []
        self._matrix: np.ndarray | None = None
        self._by_word: dict[str, list[int]] = {}

    def add(self, image: np.ndarray, text: str, where: str) -> None:
        """Notes a test image.

        Args:
            image: (H, W, 3) uint8 BGR.
            text: its word.
            where: how messages name it.
        """
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        word = compared_word(text)
        self._by_word.setdefault(word, []).append(len(self._where))
        self._where.append(where)
        self._hashes.append(difference_hash(grey))
        self._vectors.append(standardised(grey))
        self._matrix = None

    def find(self, image: np.ndarray, text: str) -> str:
        """Says which test image a training image is like, and by what; '' where there is none.

        Args:
            image: (H, W, 3) uint8 BGR.
            text: its word.
        """
        if not self._where:
            return ""
        if self._matrix is None:
            self._matrix = np.stack(self._vectors)
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        correlations = self._matrix @ standardised(grey)
        best = int(correlations.argmax())
        if correlations[best] >= CORRELATION_ANY_WORD:
            return f"nearly {self._where[best]} (correlation {correlations[best]:.3f})"
        bits = difference_hash(grey)
        for i in self._by_word.get(compared_word(text), ()):
            if correlations[i] >= CORRELATION_SAME_WORD:
                return f"nearly {self._where[i]}, the same word (correlation {correlations[i]:.3f})"
            differing = (bits ^ self._hashes[i]).bit_count()
            if differing <= HASH_DISTANCE:
                return f"nearly {self._where[i]}, the same word ({differing} of 64 bits differ)"
        return ""
