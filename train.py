"""Trains a CRNN: `python train.py` alone trains on embedded synthetic words, `python train.py --help` lists options."""
from src.common.errors import run_main
from src.model_utils.config import load_config


def main(argv: list[str] | None = None) -> int:
    """Trains as configured and returns the exit code."""
    config = load_config(argv, description="Train a CRNN scene-text recogniser.",
                         fallback_overlay="configs/quickstart.yaml",
                         fallback_unless=("train_dataset_path", "data_url"))
    # Not at the top: --help waits for none of these, and the context must be set up before MindSpore is imported.
    from src.model_utils.context import set_up_context
    from src.model_utils.moxing_adapter import modelarts
    with modelarts(config, "train_dataset_path", "resume_ckpt"):
        if config.show_batch:
            from src.training.preview import draw_first_batch
            return draw_first_batch(config)
        print(set_up_context(config, own_operators=True), flush=True)
        from src.training.run import run
        return run(config)


if __name__ == "__main__":
    run_main(main)
