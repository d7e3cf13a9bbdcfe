"""How strongly words are varied: one dataclass of strengths, with three presets."""
from dataclasses import asdict, dataclass

from src.common.errors import ConfigError

LEVELS = ("easy", "medium", "hard")


@dataclass(frozen=True)
class RenderStyle:
    """Strengths of every variation of a drawn word.

    Shares and probabilities are in [0, 1]; lengths marked "of the ink" are fractions of the drawn word's height.

    Attributes:
        name: the preset it came from.
        clean_fonts: only the handful of plain sans and serif faces that :func:`find_fonts` marks as clean.
        decorative_share: share of words drawn in script, stencil, pixel and other hard to read faces.
        bold_gain: how much more often a bold face is picked than a regular one.
        height: lowest and highest image height in pixels, drawn log-uniformly.
        max_width: widest image in pixels; a longer word is drawn smaller instead.
        contrast: lowest difference in brightness (0-255) between the letters' colour and the background's.
        contrast_spread: how much higher than that the floor of an image may lie.
        margin: lowest and highest margin on each side, of the ink; a negative one cuts into the word.
        spacing: lowest and highest extra distance between letters, of the font size; wide ones are rare.
        stretch: lowest and highest width factor.
        jitter: standard deviation of each letter's vertical offset, of the ink.
        curve: share of words on an arc, each letter turned along it.
        arc: lowest and highest angle of an arc in degrees; short words have smaller ones.
        slant: share of words that rise or fall steeply, or are seen from the side.
        steep: how steeply these rise or fall at most, in degrees.
        rotate: highest rotation in degrees.
        shear: highest horizontal shear (tangent).
        perspective: highest displacement of a corner, of the ink.
        geometry: share of words that are rotated, sheared or put into perspective at all.
        border: share of words with an outline of another colour.
        hollow: share of words drawn as an outline only.
        shadow: share of words with a drop shadow.
        shadow_length: highest length of a shadow, of the ink.
        extrude: share of words with a raised, extruded edge.
        extrude_length: highest depth of that edge, of the ink.
        neon: share of words that shine on a dark ground with a halo.
        relief: share of engraved or embossed words: letters in the colour of the ground between light and dark edges.
        dots: share of words shown by a dot matrix.
        segments: share of numbers shown by seven-segment digits.
        two_tone: share of words whose letters have two colours, in a gradient, a texture or stripes.
        fill_texture: share of words whose letters have a gradient or texture.
        background: shares of plain, gradient, noise, texture and stripe backgrounds (any sum).
        background_amplitude: highest brightness variation of a background, 0-255.
        clutter: share of images with edges, bars or strokes around the word.
        neighbour: share of images with parts of other words at their edges.
        punctuation: share of words drawn with a mark that is not part of the label, such as a full stop or quotes.
        light: highest relative brightness change across the image.
        glare: share of images with a bright spot.
        shade: share of images with the edge of a shadow across them.
        dim: share of images taken in the dark: low contrast, much noise.
        phone: share of images that were small, 8 to 20 pixels of letters, and saved twice as JPEG.
        clean: share of images with little of what follows.
        blur: highest blur radius (sigma) of the image height.
        motion: share of images with motion blur.
        low_resolution: share of images that went through a smaller size.
        noise: highest standard deviation of sensor noise, 0-255.
        tone: highest relative change of contrast and gamma.
        jpeg: lowest and highest JPEG quality.
        case: shares of lower, UPPER, Capitalised and miXeD words; those with digits are mostly UPPER.
        turkish: dotted and dotless i are two letters, each with a capital of its own.
    """

    name: str = "hard"
    clean_fonts: bool = False
    decorative_share: float = 0.18
    bold_gain: float = 2.0
    height: tuple[int, int] = (11, 64)
    max_width: int = 480
    contrast: float = 30.0
    contrast_spread: float = 110.0
    margin: tuple[float, float] = (-0.04, 0.35)
    spacing: tuple[float, float] = (-0.04, 0.25)
    stretch: tuple[float, float] = (0.75, 1.3)
    jitter: float = 0.02
    curve: float = 0.15
    arc: tuple[float, float] = (15.0, 120.0)
    slant: float = 0.16
    steep: float = 38.0
    rotate: float = 12.0
    shear: float = 0.3
    perspective: float = 0.25
    geometry: float = 0.5
    border: float = 0.2
    hollow: float = 0.03
    shadow: float = 0.2
    shadow_length: float = 0.17
    extrude: float = 0.09
    extrude_length: float = 0.25
    neon: float = 0.035
    relief: float = 0.035
    dots: float = 0.03
    segments: float = 0.12
    two_tone: float = 0.06
    fill_texture: float = 0.25
    background: tuple[float, float, float, float, float] = (0.38, 0.22, 0.18, 0.16, 0.06)
    background_amplitude: float = 40.0
    clutter: float = 0.25
    neighbour: float = 0.15
    punctuation: float = 0.04
    light: float = 0.5
    glare: float = 0.06
    shade: float = 0.05
    dim: float = 0.05
    phone: float = 0.06
    clean: float = 0.45
    blur: float = 0.06
    motion: float = 0.12
    low_resolution: float = 0.25
    noise: float = 12.0
    tone: float = 0.3
    jpeg: tuple[int, int] = (25, 95)
    case: tuple[float, float, float, float] = (0.21, 0.5, 0.26, 0.03)
    turkish: bool = False

    @classmethod
    def preset(cls, name: str) -> "RenderStyle":
        """Returns the strengths of a difficulty level.

        Args:
            name: ``easy`` (clean print, learnt in minutes), ``medium`` or ``hard`` (as varied as real scene words).

        Raises:
            ConfigError: there is no such level.
        """
        if name not in PRESETS:
            raise ConfigError(f"difficulty {name!r} is unknown: use one of {', '.join(LEVELS)}")
        return PRESETS[name]

    def to_dict(self) -> dict[str, object]:
        """Returns all strengths as plain values, lists for tuples (so that it survives JSON unchanged)."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


PRESETS = {
    "easy": RenderStyle(
        name="easy", clean_fonts=True, decorative_share=0.0, bold_gain=1.0, height=(26, 40), contrast=90.0,
        contrast_spread=60.0, margin=(0.04, 0.2), spacing=(0.0, 0.06), stretch=(0.92, 1.12), jitter=0.0, curve=0.0,
        slant=0.0, neon=0.0, relief=0.0, dots=0.0, segments=0.0, two_tone=0.0, shade=0.0, dim=0.0, phone=0.0,
        rotate=2.0, shear=0.06, perspective=0.03, geometry=0.4, border=0.0, hollow=0.0, shadow=0.0, extrude=0.0,
        fill_texture=0.0, background=(0.6, 0.3, 0.1, 0.0, 0.0), background_amplitude=14.0, clutter=0.0,
        neighbour=0.0, punctuation=0.0, light=0.1, glare=0.0, clean=0.0, blur=0.02, motion=0.0, low_resolution=0.0,
        noise=5.0, tone=0.0, jpeg=(80, 95), case=(0.5, 0.25, 0.25, 0.0)),
    "medium": RenderStyle(
        name="medium", decorative_share=0.06, height=(18, 56), contrast=55.0, contrast_spread=90.0, neighbour=0.02,
        punctuation=0.02, clean=0.5, margin=(0.0, 0.25),
        spacing=(-0.02, 0.15), stretch=(0.82, 1.2), jitter=0.01, curve=0.05, arc=(10.0, 50.0), slant=0.03, steep=20.0,
        neon=0.01, relief=0.01, dots=0.01, segments=0.05, two_tone=0.03, shade=0.02, dim=0.01, phone=0.01,
        shadow_length=0.12, extrude_length=0.12, rotate=6.0, shear=0.18, perspective=0.12,
        geometry=0.5, border=0.12, hollow=0.0, shadow=0.12, extrude=0.03, fill_texture=0.12,
        background=(0.4, 0.25, 0.15, 0.15, 0.05), background_amplitude=28.0, clutter=0.15, light=0.3, glare=0.02,
        blur=0.035, motion=0.05, low_resolution=0.12, noise=9.0, tone=0.15, jpeg=(45, 95)),
    "hard": RenderStyle(),
}
