"""Where the text of a photograph is: RapidOCR's detector, whose weights come with its package."""
import importlib

import numpy as np

from src.common.errors import ConfigError


class TextDetector:
    """Finds lines of text. It computes through onnxruntime; nothing is downloaded.

    Raises:
        ConfigError: its package is not installed.
    """

    def __init__(self) -> None:
        try:
            rapidocr = importlib.import_module("rapidocr")  # an optional package
        except ImportError as error:
            raise ConfigError("find_words needs the package rapidocr: `pip install -r requirements-photos.txt`"
                              ) from error
        self._engine = rapidocr.RapidOCR(params={"Global.use_cls": False, "Global.use_rec": False,
                                                 "Global.log_level": "critical"})

    def find(self, photograph: np.ndarray) -> np.ndarray:
        """The corners of each line of text.

        Args:
            photograph: (H, W, 3) uint8 BGR.

        Returns:
            (N, 4, 2) float32 pixels, x and y: top left, top right, bottom right, bottom left as the text stands.
        """
        found = self._engine(photograph, use_det=True, use_cls=False, use_rec=False)
        return np.zeros((0, 4, 2), np.float32) if found.boxes is None else np.asarray(found.boxes, np.float32)
