"""The comparison of the pins with a copy of the advisories."""
import pytest
import yaml

from src.common.errors import ConfigError, DataError
from tools.audit_requirements import is_affected, main, pins

TEXT = """# a comment==1
Some_Package==1.2.3
other.one==2.0; sys_platform == "linux"
hashed==3 \\
    --hash=sha256:00
free>=1
"""


def test_pins():
    assert pins(TEXT) == {"some-package": "1.2.3", "other-one": "2.0", "hashed": "3"}


@pytest.mark.parametrize("version, expected", [
    ("0.9", False), ("1.0", True), ("1.10", True), ("1.11", False), ("2.0", True), ("3.0", True), ("3.0.1", False),
    ("7", True)])
def test_versions_between_events(version, expected):
    affected = {"versions": ["7"], "ranges": [
        {"type": "GIT", "events": [{"introduced": "0"}]},
        {"type": "ECOSYSTEM", "events": [{"introduced": "1.0"}, {"fixed": "1.11"}, {"introduced": "2.0"},
                                         {"last_affected": "3.0"}]}]}
    assert is_affected(version, affected) is expected


def write(folder, name, number, **changes):
    (folder / "vulns" / name).mkdir(parents=True, exist_ok=True)
    (folder / "vulns" / name / f"X-{number}.yaml").write_text(yaml.safe_dump({
        "id": f"X-{number}", "aliases": ["CVE-0"], "details": "It\nreads too far.", "modified": "2026-01-02T00:00:00Z",
        "affected": [{"package": {"name": name, "ecosystem": "PyPI"},
                      "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.5"}]}]}],
        **changes}))


def test_findings_are_named_and_the_exit_code_tells(tmp_path, capsys):
    (tmp_path / "requirements.txt").write_text(TEXT)
    arguments = [str(tmp_path), "--requirements", str(tmp_path / "requirements.txt")]
    write(tmp_path, "other-one", 1)
    write(tmp_path, "some-package", 2, withdrawn="2026-01-03T00:00:00Z")
    assert main(arguments) == 0
    assert "3 pins, 1 advisories of these packages, 0 of the pinned versions" in capsys.readouterr().out
    write(tmp_path, "some-package", 3)
    assert main(arguments) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "some-package 1.2.3: X-3 (CVE-0): It reads too far."
    assert lines[1].endswith("1 of the pinned versions; the newest entry looked at is of 2026-01-02")


def test_a_database_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match="has no folder vulns"):
        main([str(tmp_path)])
    write(tmp_path, "numpy", 1)
    (tmp_path / "vulns" / "numpy" / "X-1.yaml").write_text("a: [")
    with pytest.raises(DataError, match="X-1.yaml is no YAML file"):
        main([str(tmp_path)])


@pytest.mark.parametrize("text", ["5", "[]", "{affected: 5}", "{affected: [5]}", "{affected: [{package: numpy}]}",
                                  "{affected: [{package: {name: numpy}, ranges: [{type: ECOSYSTEM, events: 5}]}]}",
                                  "{affected: [{package: {name: numpy}, versions: 5}]}"])
def test_an_advisory_of_another_kind(tmp_path, text):
    (tmp_path / "vulns" / "numpy").mkdir(parents=True)
    (tmp_path / "vulns" / "numpy" / "X-1.yaml").write_text(text)
    with pytest.raises(DataError, match="X-1.yaml is no advisory"):
        main([str(tmp_path)])
