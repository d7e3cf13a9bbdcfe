"""The gallery of errors: small JPEG images inside the page, with what stands in them and what was read."""
import base64
from collections.abc import Sequence

import cv2
import numpy as np

from src.common.charset import Charset, normalise
from src.common.errors import DataError
from src.data.preprocess import decode_image
from src.report.benchmarks import BY_KEY
from src.report.confusion import confused_pairs
from src.report.measure import Measured

HEIGHT, WIDTH, QUALITY = 48, 224, 72


def collect_errors(measured: Sequence[Measured], charset: Charset, limit: int) -> tuple[list[dict], int]:
    """The wrongly read words, at most ``limit``, evenly spread over all of them.

    Args:
        measured: the sets that were read.
        charset: of the network.
        limit: most entries.

    Returns:
        Entries with set, path, truth, prediction, confidence, pairs ("o>0") and image; and the number of all errors.
    """
    wrong = []
    for one in measured:
        for i, reading in zip(one.index, one.readings, strict=True):
            truth, prediction = normalise(one.source.text(i), charset), normalise(reading.text, charset)
            if truth != prediction:
                wrong.append((one, i, truth, prediction, reading.confidence))
    chosen = np.unique(np.linspace(0, len(wrong) - 1, min(limit, len(wrong))).round().astype(np.int64))
    entries = []
    for one, i, truth, prediction, confidence in (wrong[n] for n in chosen):
        pairs = sorted({f"{a}>{b}" for a, b in confused_pairs(truth, prediction)})
        entries.append({"set": BY_KEY[one.main].title, "path": one.source.reference(i), "annotated": one.source.text(i),
                        "truth": truth, "prediction": prediction, "confidence": round(confidence, 4), "pairs": pairs,
                        "image": thumbnail(one.source.read(i))})
    return entries, len(wrong)


def thumbnail(data: bytes) -> str:
    """A data URI of the image, no larger than 224 x 48 pixels; '' where it cannot be decoded."""
    try:
        image = decode_image(data)
    except DataError:
        return ""
    scale = min(HEIGHT / image.shape[0], WIDTH / image.shape[1], 1.0)
    if scale < 1:
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
