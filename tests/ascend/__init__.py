"""Compiles our programs for Ascend in MindSpore's dry run, which needs neither a card nor CANN."""
