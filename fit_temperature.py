"""Fits the temperature of the confidence on training words: then a confidence of 0.9 is right nine times in ten."""
from src.common.errors import run_main
from src.model_utils.config import load_config

_DESCRIPTION = """Read training words (train_dataset, train_dataset_path) with a checkpoint, find the temperature at
which the confidence tells right from wrong readings best, and write it into output_dir/temperature.yaml for eval.py,
predict.py, benchmark.py and eval_onnx.py: --config_path=output/temperature.yaml. Texts stay the same. Better than the
words the network was trained on are others of the same kind, such as a validation set."""


def main(argv: list[str] | None = None) -> int:
    """Fits as configured; returns the exit code."""
    config = load_config(argv, description=" ".join(_DESCRIPTION.split()))
    # Not at the top: --help waits for none of these, and the context must be set up before MindSpore is imported.
    from src.model_utils.context import set_up_context
    from src.report.temperature import fit

    print(set_up_context(config, own_operators=True), flush=True)
    from src.network.trained import load_trained

    return fit(config, *load_trained(config, config.batch_size))


if __name__ == "__main__":
    run_main(main)
