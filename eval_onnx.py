"""Evaluates an ONNX file on a data set; needs onnxruntime, numpy, OpenCV and PyYAML, but no MindSpore."""
from src.common.errors import run_main
from src.model_utils.config import load_config

# The groups and keys this program uses, in the order of its --help.
USES = ("ONNX file", "file_name", "eval_dataset", "eval_dataset_path", "eval_protocol", "print_predictions",
        "save_predictions", "Reading", "batch_size", "image_folder", "mlt_scripts", "device_target",
        "num_parallel_workers", "loader", "output_dir", "show_progress", "Network")


def main(argv: list[str] | None = None) -> int:
    """Evaluates as configured and returns the exit code."""
    config = load_config(argv, description="Evaluate a CRNN in an ONNX file: every word of a data set exactly once.",
                         uses=USES)
    from src.deploy.onnx.program import run  # after the options, so that --help is quick

    return run(config)


if __name__ == "__main__":
    run_main(main)
