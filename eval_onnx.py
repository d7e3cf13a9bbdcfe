"""Evaluates an ONNX file on a data set; needs onnxruntime, numpy, OpenCV and PyYAML, but no MindSpore."""
from src.common.errors import run_main
from src.model_utils.config import load_config


def main(argv: list[str] | None = None) -> int:
    """Evaluates as configured and returns the exit code."""
    config = load_config(argv, description="Evaluate a CRNN in an ONNX file: every word of a data set exactly once.")
    from src.deploy.onnx.network import PROVIDERS, load_onnx
    from src.evaluation.run import run_evaluation
    from src.metric import result_lines

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


if __name__ == "__main__":
    run_main(main)
