"""The list of packages with their hashes."""
import re
import sys

import pytest

from src.common.errors import CRNNError
from tests.conftest import REPO

sys.path.insert(0, str(REPO / "tools"))
from lock_requirements import main, missing_pins, read_report, to_text  # noqa: E402


def item(name, version, digest):
    return {"metadata": {"name": name, "version": version},
            "download_info": {"archive_info": {"hashes": {"sha256": digest}}}}


def test_hashes_of_all_pythons_stand_together():
    first = read_report({"install": [item("Pure_Name", "1.0", "aa"), item("built", "2", "bb")]})
    second = read_report({"install": [item("Pure_Name", "1.0", "aa"), item("built", "2", "cc")]})
    assert to_text([first, second]).splitlines()[2:] == [
        "built==2 \\", "    --hash=sha256:bb \\", "    --hash=sha256:cc", "pure-name==1.0 \\", "    --hash=sha256:aa"]
    with pytest.raises(CRNNError, match="built would be 2 on one Python or machine and 3 on another"):
        to_text([first, {"built": ("3", "dd")}])


def test_pins_that_are_missing():
    locked = to_text([{"a-b": ("1", "aa"), "c": ("2", "bb")}])
    assert missing_pins("A_b==1.00\nc==2.0\n", locked) == []
    assert missing_pins("# x==1\nA_b==1\nc==3  # why\nd==4; platform_machine == 'x'\n", locked) == ["c==3", "d==4"]


def test_the_files_of_the_project_agree(capsys):
    """After a change of requirements.txt: python tools/lock_requirements.py."""
    assert main(["--check"]) == 0, capsys.readouterr().out
    text = (REPO / "requirements-hashes.txt").read_text()
    entries = re.findall(r"^[a-z0-9.-]+==\S+ \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", text, re.MULTILINE)
    assert len(entries) == text.count("==") > 60
