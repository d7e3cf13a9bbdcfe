"""The network as a MINDIR file, and its form for MindSpore Lite."""
