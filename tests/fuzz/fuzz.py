"""Fuzzing guided by coverage: python -m tests.fuzz.fuzz KIND [--seconds 600] [--keep FOLDER].

Needs ``pip install -r requirements-fuzz.txt``. libFuzzer changes the sound samples of a kind so as to reach new lines
of ours; the first input that is neither read nor refused with a sentence, takes more than 30 s or more than 1 GiB ends
it, and lies in the folder as crash-..., timeout-... or oom-....
"""
import argparse
import resource
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["src"]):
    from tests.fuzz.targets import TARGETS

from src.common.errors import CRNNError  # noqa: E402


def main() -> None:
    """Fuzzes one kind; libFuzzer ends the process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--keep", type=Path, default=Path.cwd(), help="folder for inputs at fault")
    options = parser.parse_args()
    target = TARGETS[options.kind]
    options.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="crnn-fuzz-") as folder:
        corpus, place = Path(folder, "corpus"), Path(folder, "input")
        corpus.mkdir()
        place.mkdir()
        for number, data in enumerate(target.samples()):
            (corpus / str(number)).write_bytes(data)

        def read(data: bytes) -> None:
            for old in place.iterdir():
                old.unlink()
            path = place / target.file
            path.write_bytes(data)
            try:
                target.read(path)
            except CRNNError as error:
                assert len(str(error).splitlines()) == 1, f"not one sentence: {error!r}"

        read((corpus / "0").read_bytes())  # what it imports late counts as taken memory, not as the input's
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        atheris.Setup([sys.argv[0], str(corpus), f"-max_total_time={options.seconds}", "-timeout=30", "-max_len=20000",
                       f"-rss_limit_mb={used + 1024}", f"-artifact_prefix={options.keep}/", "-print_final_stats=1",
                       "-verbosity=1", "-close_fd_mask=1"], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
