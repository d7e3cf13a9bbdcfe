"""The run of eval_onnx.py: reads a data set with an ONNX file, without MindSpore."""
from src.deploy.onnx.network import PROVIDERS, load_onnx
from src.evaluation.run import run_evaluation
from src.metric import result_lines
from src.model_utils.config import Config


def run(config: Config) -> int:
    """Evaluates as configured; returns the exit code.

    Raises:
        CRNNError: an option, the data or the file cannot be used.
    """
    network, charset = load_onnx(config)
    print(f"onnxruntime with the {PROVIDERS[config.device_target][0]}", flush=True)
    if network.info is None:
        print(f"note: {config.onnx_file} has no metadata of export.py; label_dict and image_width are those of the "
              "configuration", flush=True)
    print(config.describe(changed_only=True))
    result = run_evaluation(config, network, charset, f"ONNX file: {config.onnx_file}, {network.describe()}")
    print(result_lines(result.correct, result.total)[0])
    print(f"result: {result.accuracy}", flush=True)
    return 0
