"""The body of train.py with show_batch: draws what the network would be fed first, and trains nothing."""
from src.common.charset import Charset
from src.data.embedded import fill_in_data
from src.data.show_batch import show_batch
from src.dataset import create_dataset
from src.model_utils.config import Config
from src.model_utils.context import set_up_context


def draw_first_batch(config: Config) -> int:
    """Draws the first batch as configured; returns the exit code."""
    fill_in_data(config, "train_dataset")
    if config.resume_ckpt:  # it says how images are fitted, and its characters which words are trained on
        set_up_context(config)
        # Only here: it imports MindSpore, which the context must precede, and without a checkpoint nobody needs it.
        from src.training.resume import open_resumed
        open_resumed(config)
    dataset = create_dataset(config.train_dataset, config.train_dataset_path, config.batch_size, config=config)
    count = show_batch(dataset, Charset.from_config(config.label_dict), config.show_batch, config.train_start_epoch)
    print(f"{dataset.report.summary()}\n{config.show_batch}: {count} images of the first batch", flush=True)
    return 0
