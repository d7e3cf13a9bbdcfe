"""Reads every benchmark set under a folder and writes the field's results table: Markdown, JSON and an HTML report."""
from src.common.errors import run_main
from src.model_utils.config import load_config

_DESCRIPTION = """Evaluate a checkpoint (checkpoint_path) or an ONNX file (onnx_file) on every benchmark set under
data_root, with all their lexicons, and write results.md, results.json, report.html and predictions/*.tsv into
output_dir."""


# The groups and keys this program uses, in the order of its --help.
USES = ("Benchmark", "checkpoint_path", "ONNX file", "Reading", "batch_size", "device_target", "device_id",
        "cpu_operators", "precision", "num_parallel_workers", "loader", "output_dir", "show_progress", "Network")


def main(argv: list[str] | None = None) -> int:
    """Evaluates as configured; returns 1 where no set was found."""
    config = load_config(argv, description=" ".join(_DESCRIPTION.split()), uses=USES)
    from src.report.run import benchmark  # after the options, so that --help is quick

    return benchmark(config)


if __name__ == "__main__":
    run_main(main)
