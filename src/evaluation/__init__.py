"""Reading whole data sets and counting what was right: the loop, the run behind eval.py, files of predictions."""
