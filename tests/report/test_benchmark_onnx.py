"""benchmark.py with an ONNX file, in a process of its own: its readings are eval_onnx.py's, MindSpore stays out."""
import csv
import json
import subprocess
import sys

import cv2

from tests.conftest import REPO
from tests.onnx_models import make_onnx, write_onnx
from tests.words import WORDS, draw_word


def test_benchmark_with_an_onnx_file(tmp_path):
    model = write_onnx(tmp_path / "net.onnx", make_onnx(hidden=16))
    folder = tmp_path / "data" / "svt"
    folder.mkdir(parents=True)
    for number, word in enumerate(WORDS[:5]):
        cv2.imwrite(str(folder / f"{number}.png"), draw_word(word))
    (folder / "annotation.txt").write_text("".join(f"{n}.png,{word}\n" for n, word in enumerate(WORDS[:5])))
    common = [f"--onnx_file={model}", "--onnx_threads=1", "--num_parallel_workers=1", "--show_progress=never"]
    program = "import sys, {0}\ncode = {0}.main(sys.argv[1:])\nsys.exit(code or 'mindspore' in sys.modules)"

    def run(name: str, *options: str) -> None:
        subprocess.run([sys.executable, "-c", program.format(name), *common, *options], cwd=REPO, check=True,
                       capture_output=True, timeout=120)

    run("benchmark", f"--data_root={tmp_path / 'data'}", f"--output_dir={tmp_path / 'out'}", "--temperature=2")
    run("eval_onnx", "--eval_dataset=svt", f"--eval_dataset_path={folder}", "--temperature=2",
        f"--save_predictions={tmp_path / 'eval.tsv'}")
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    assert report["facts"]["computed by"].startswith("onnxruntime ") and report["facts"]["network"] == "net.onnx"
    assert report["facts"]["temperature of the confidence"] == "2.0"
    tables = [list(csv.reader(path.open(), delimiter="\t"))[1:] for path in
              (tmp_path / "eval.tsv", *(tmp_path / "out" / "predictions").glob("*.tsv"))]
    assert len(tables) == 2 and tables[0] == tables[1] and len(tables[0]) == 5
