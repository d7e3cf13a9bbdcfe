"""From raw downloads to data sets: what the convert_*.py programs share."""
