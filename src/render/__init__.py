"""Drawing of word images like those of MJSynth, and writing of data sets in its layout."""
from src.render.fonts import FontFace, find_fonts
from src.render.renderer import WordRenderer
from src.render.style import RenderStyle
from src.render.writer import write_synth

__all__ = ["FontFace", "RenderStyle", "WordRenderer", "find_fonts", "write_synth"]
