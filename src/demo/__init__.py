"""The page of demo.py: what it shows of a word or a photograph. Gradio is imported in ``page`` alone."""
