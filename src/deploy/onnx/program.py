"""The run of eval_onnx.py: reads a data set with an ONNX file, without MindSpore."""
import os

from src.common.errors import CheckpointError
from src.common.files import keep_apart
from src.deploy.onnx.network import OnnxNetwork
from src.evaluation.run import run_evaluation
from src.metric import result_lines
from src.model_utils.config import Config
from src.recogniser import Recogniser


def run(config: Config) -> int:
    """Evaluates as configured; returns the exit code.

    Raises:
        CRNNError: an option, the data or the file cannot be used.
    """
    config.checkpoint_path = ""
    if not config.onnx_file:
        config.onnx_file = file_of(config)
    keep_apart(config.save_predictions, [config.onnx_file])
    recogniser = Recogniser.from_config(config)
    network = recogniser.network
    assert isinstance(network, OnnxNetwork)
    print(recogniser.description, flush=True)
    if network.info is None:
        print(f"note: {config.onnx_file} has no metadata of export.py; label_dict and image_width are those of the "
              "configuration", flush=True)
    print(config.describe(changed_only=True))
    result = run_evaluation(config, network, recogniser.charset, f"ONNX file: {config.onnx_file}, {network.describe()}")
    print(result_lines(result.correct, result.total)[0])
    print(f"result: {result.accuracy}", flush=True)
    return 0


def file_of(config: Config) -> str:
    """The path that ``file_name`` stands for, which is the model zoo's name of ``onnx_file`` and may lack the ending.

    Raises:
        CheckpointError: it is not given, and there is no file of the usual name.
    """
    path = config.file_name
    if not os.path.exists(path) and not path.endswith(".onnx"):
        path += ".onnx"
    if not os.path.exists(path) and not config.is_given("file_name"):
        raise CheckpointError(f"no ONNX file given, and there is no {path}; add --onnx_file=FILE")
    return path
