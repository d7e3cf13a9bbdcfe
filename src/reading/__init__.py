"""From class scores to text: CTC, decoders, lexicons, language model. Numpy alone; no images, no MindSpore."""
