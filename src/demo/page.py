"""The page itself, in Gradio. It asks no other host for anything."""
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from src.common.errors import CRNNError
from src.demo.reading import TYPES, answer

SAMPLES = Path(__file__).resolve().parent / "samples"
_STYLE = """
#reading textarea {font-size: 2em; font-weight: 600}
footer {display: none !important}
"""


def _path(payload: Any) -> str | None:
    """The file that was dropped: it is decoded by this project, as everywhere else, not by Gradio."""
    return payload.path if payload else None


def read(path: str | None, lexicon: str, whole: bool) -> tuple[str, str, np.ndarray, list[list[str]]]:
    """What the button does; mistakes become a message on the page."""
    try:
        found = answer(path, lexicon, whole)
    except CRNNError as error:
        raise gr.Error(str(error), duration=None, print_exception=False) from error
    rows = [[text or "(nothing)", _share(confidence)] for text, confidence in found.rows]
    return found.text or "(nothing)", _share(found.confidence), found.picture, rows


def _share(confidence: float) -> str:
    return f"{confidence:.1%}" if confidence >= 0.0005 else "under 0.1%"


def build_page() -> gr.Blocks:
    """The page; ``launch`` serves it."""
    with gr.Blocks(title="CRNN: reading words", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        gr.Markdown("# Reading words\nDrop or paste an image of **one word**, cut out, or tick *whole photograph*.")
        with gr.Row():
            with gr.Column():
                image = gr.Image(label="Image", sources=["upload", "clipboard"], type="filepath", height=240,
                                 elem_id="image")
                image.preprocess = _path  # a class of our own would do, but gradio writes a file beside its source
                whole = gr.Checkbox(label="Whole photograph: find the words first", elem_id="whole")
                lexicon = gr.Textbox(label="Words to choose from (optional)", lines=2, elem_id="lexicon",
                                     placeholder="harbour, harvest, labour")
                button = gr.Button("Read", variant="primary", elem_id="read")
                samples = [[str(path)] for path in sorted(SAMPLES.iterdir())]
                gr.Examples(samples, inputs=image, label="Samples")
            with gr.Column():
                text = gr.Textbox(label="Reading", interactive=False, elem_id="reading")
                confidence = gr.Textbox(label="Confidence", interactive=False, elem_id="confidence")
                gr.Markdown("Where each letter was read:")
                picture = gr.Image(show_label=False, buttons=[], interactive=False, format="png", elem_id="picture")
                table = gr.Dataframe(headers=["reading", "confidence"], label="Readings, the best first; of a "
                                     "photograph its words", interactive=False, elem_id="others")
        inputs, outputs = [image, lexicon, whole], [text, confidence, picture, table]
        button.click(read, inputs, outputs, api_name="read")
        image.change(lambda path, *rest: read(path, *rest) if path else ("", "", None, []), inputs, outputs)
    return page


def serve(host: str, port: int, megabytes: int, wait: bool = True) -> tuple[gr.Blocks, str]:
    """Serves the page.

    Args:
        host: address to listen at.
        port: its port; 0 takes the first free one from 7860 on.
        megabytes: largest file that is taken.
        wait: until Ctrl-C.

    Returns:
        The page and its address; ``page.close()`` ends it.
    """
    page = build_page()
    font = ["system-ui", "sans-serif"]  # of the visitor's machine: Gradio's own come from another host
    theme = gr.themes.Default(font=font, font_mono=["ui-monospace", "monospace"])
    _, address, _ = page.launch(server_name=host, server_port=port or None, max_file_size=megabytes * 2 ** 20,
                                prevent_thread_lock=True, quiet=True, share=False, theme=theme, css=_STYLE,
                                footer_links=[])
    print(f"the page is at {address} (Ctrl-C ends it); files of up to {megabytes} MB: {', '.join(TYPES)}", flush=True)
    if wait:
        page.block_thread()
    return page, address
