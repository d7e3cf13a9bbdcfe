"""benchmark.py: which sets it finds, its numbers against hand computation, and the pages it writes."""
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest

import benchmark
from src.common.errors import ConfigError, DataError
from src.dataset import open_source
from src.metric import Tally, wilson_interval
from src.report import confusion
from src.report.benchmarks import AVERAGES, BENCHMARKS, BY_KEY, average
from src.report.discovery import convert, find_sets
from src.report.html import to_html
from src.report.published import read_published
from src.report.summary import summarise
from tests.stub_network import CHARSET, install, write_image

#        IIIT5K                          SVT (genuine)       IC13
TRUTHS = ["House", "tree", "car", "CLUB", "LIVING", "cafe", "Tiredness", "10", "isn't", "DAY<b>"]
READ = ["hause", "tree", "cat", "club", "livin", "cafe", "tiredness", "1o", "isnt", "dayb"]
SVT_XML = """<tagset><image><imageName>img/a.png</imageName><lex>LIVING,LIVID,CAFE</lex>
<taggedRectangles><taggedRectangle x="0" y="0" width="60" height="32"><tag>LIVING</tag></taggedRectangle>
</taggedRectangles></image><image><imageName>img/b.png</imageName><lex>CAFE,CARE</lex><taggedRectangles>
<taggedRectangle x="0" y="0" width="60" height="32"><tag>CAFE</tag></taggedRectangle></taggedRectangles></image>
</tagset>
"""


def write_sets(root):
    for number in range(4):
        write_image(root / "iiit5k" / f"{number}.png", number)
    lines = "".join(f"{n}.png,{TRUTHS[n]}\n" for n in range(4))
    (root / "iiit5k" / "annotation.txt").write_text(lines)
    (root / "iiit5k" / "lexicon_50.txt").write_text("0.png\thouse\tmouse\n1.png\ttree\n2.png\tcar\tbus\n3.png\tclub\n")
    svt = root / "deeper" / "svt1"
    for number, name in ((4, "a"), (5, "b")):
        write_image(svt / "img" / f"{name}.png", number, 80)
    (svt / "test.xml").write_text(SVT_XML)
    ic13 = root / "Challenge2"
    for number in range(6, 10):
        write_image(ic13 / f"word_{number}.png", number)
    (ic13 / "Challenge2_Test_Task3_GT.txt").write_text("".join(f'word_{n}.png, "{TRUTHS[n]}"\n' for n in range(6, 10)))
    for name in ("svt_train_crops", "holiday"):
        write_image(root / name / "0.png", 0)
        (root / name / "labels.tsv").write_text("0.png\thouse\n")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder that a run wrote, and the one it read."""
    root, output = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("out")
    write_sets(root)
    before = sorted(root.rglob("*"))
    with pytest.MonkeyPatch.context() as patch:
        install(patch, READ)
        patch.setitem(BY_KEY, "IIIT5K", replace(BY_KEY["IIIT5K"], words=4))
        patch.setattr("builtins.print", lambda *_, **__: None)
        options = [f"--data_root={root}", f"--output_dir={output}", "--show_progress=never", "--batch_size=3",
                   "--num_parallel_workers=1"]
        assert benchmark.main(options) == 0
        assert benchmark.main(options) == 0, "the second run takes the converted sets of the first"
    assert sorted(root.rglob("*")) == before, "nothing is written where the data lies"
    return output, root


@pytest.fixture(scope="module")
def report(run):
    return json.loads((run[0] / "results.json").read_text())


def row(report, key, lexicon="none"):
    found = [r for r in report["rows"] if (r["benchmark"], r["lexicon"]) == (key, lexicon)]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(("key", "lexicon", "correct", "total", "edits", "characters"), [
    ("IIIT5K", "none", 2, 4, 2, 16),  # hause, cat
    ("IIIT5K", "50", 4, 4, 0, 16),
    ("SVT", "none", 1, 2, 1, 10),
    ("SVT", "50", 2, 2, 0, 10),
    ("SVT", "full", 2, 2, 0, 10),
    ("IC13_1015", "none", 1, 2, 1, 11),  # Tiredness and 10
    ("IC13_857", "none", 1, 1, 0, 9),
])
def test_numbers(report, key, lexicon, correct, total, edits, characters):
    found = row(report, key, lexicon)
    assert (found["correct"], found["total"], found["edit_operations"]) == (correct, total, edits)
    assert found["accuracy"] == correct / total and found["cer"] == pytest.approx(edits / characters)
    assert found["interval"] == pytest.approx(wilson_interval(correct, total))


def test_status_and_absent_sets(report):
    assert row(report, "IIIT5K")["status"] == "complete"
    assert row(report, "SVT")["status"] == "incomplete" and row(report, "SVT")["note"] == "2 of 647 words"
    absent = {(r["benchmark"], r["lexicon"]) for r in report["rows"] if r["status"] == "absent"}
    assert absent == {("IIIT5K", "1k"), ("IC03_860", "none"), ("IC03_860", "50"), ("IC03_860", "full"),
                      ("IC03_860", "50k"), ("IC03_867", "none"), ("IC15_1811", "none"), ("IC15_2077", "none"),
                      ("SVTP", "none"), ("CUTE80", "none")}
    assert all(r["note"] for r in report["rows"] if r["status"] != "complete")
    assert {place.rpartition("/")[2]: reason for place, reason in report["skipped"].items()} == {
        "svt_train_crops": "training data, by its name",
        "holiday": "holds labels.tsv, but its name is not that of a benchmark set"}


def test_per_length_and_confusions(report):
    # Of IC13 the larger benchmark counts, so "isn't" and "DAY<b>" do not.
    lengths = {p["length"]: (p["correct"], p["total"]) for p in report["per_length"]}
    assert lengths == {2: (0, 1), 3: (0, 1), 4: (3, 3), 5: (0, 1), 6: (0, 1), 9: (1, 1)}
    pairs = {(p["truth"], p["prediction"]): p["count"] for p in report["confusions"]["pairs"]}
    assert pairs == {("o", "a"): 1, ("r", "t"): 1, ("g", ""): 1, ("0", "o"): 1}
    confusions = report["confusions"]
    assert (confusions["substituted"], confusions["missed"], confusions["invented"]) == (3, 1, 0)
    assert confusions["truth_characters"] == 37
    o, a = confusions["characters"].index("o"), confusions["characters"].index("a")
    assert confusions["matrix"][o][a] == 1 and confusions["matrix"][o][o] == 0
    assert confusions["matrix"][a][a] == 2 and confusions["row_totals"][a] == 2
    own = {one["title"]: one for one in report["sets"]}
    assert [*own] == ["IIIT5K", "SVT", "IC13 1015"]
    lengths = {p["length"]: (p["correct"], p["total"]) for p in own["SVT"]["per_length"]}
    assert lengths == {4: (1, 1), 6: (0, 1)}
    assert [(p["truth"], p["prediction"]) for p in own["IC13 1015"]["confusions"]["pairs"]] == [("0", "o")]
    assert own["SVT"]["confusions"]["missed"] == 1 and own["IIIT5K"]["confusions"]["truth_characters"] == 16


def test_markdown_says_what_json_says(run, report):
    text = (run[0] / "results.md").read_text()
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    table = {(line[0], line[1]): line[2:] for line in lines[2:2 + len(report["rows"])]}
    assert len(table) == len(report["rows"])
    for entry in report["rows"]:
        cells = table[entry["title"], entry["lexicon_title"]]
        if entry["status"] == "absent":
            assert cells[0] == "absent" and set(cells[1:]) == {"–"}
            continue
        low, high = (float(bound) for bound in cells[3].split(" to "))
        assert int(cells[0].split(" of ")[0]) == entry["total"] and int(cells[1]) == entry["correct"]
        assert [float(cells[2]), low, high] == pytest.approx([100 * entry["accuracy"],
                                                               *(100 * b for b in entry["interval"])], abs=0.0051)
        assert [float(cell) for cell in cells[4:]] == pytest.approx(
            [entry["one_minus_ned"], entry["cer"], entry["ece"]], abs=5.1e-5)
    for entry in report["published"]:
        assert f"* {entry['name']}: {entry['source']}" in text
    assert "| six sets, plain mean | – | missing: SVT, IC13 857," in text


def test_predictions(run):
    names = sorted(path.name for path in (run[0] / "predictions").iterdir())
    assert names == ["01_IIIT5K.tsv", "02_SVT.tsv", "03_IC13_1015.tsv"]
    lines = (run[0] / "predictions" / "01_IIIT5K.tsv").read_text().splitlines()
    assert lines[0] == "path\ttruth\tprediction\tconfidence" and lines[1].startswith("0.png\tHouse\thause\t0.")


class Checker(HTMLParser):
    """Every element is closed in order, ids are unique, and links inside the page lead somewhere."""

    VOID = {"meta", "input", "br", "img", "link"}

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.outside = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        assert len(attrs) == len(set(attrs))
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if (attrs.get("href") or "").startswith("#"):
            self.links.append(attrs["href"][1:])
        self.outside += [attrs[name] for name in ("src", "href") if attrs.get(name, "#")[0] != "#"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"


def gallery_data(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def test_page_is_well_formed_and_self_contained(run):
    page = (run[0] / "report.html").read_text()
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert not checker.open and len(checker.ids) == len(set(checker.ids))
    assert set(checker.links) <= set(checker.ids) and not checker.outside
    assert "http:" not in page and "https:" not in page
    errors = gallery_data(page)
    assert [(e["set"], e["truth"], e["prediction"]) for e in errors] == [
        ("IIIT5K", "house", "hause"), ("IIIT5K", "car", "cat"), ("SVT", "living", "livin"), ("IC13 1015", "10", "1o")]
    assert all(e["image"].startswith("data:image/jpeg;base64,") for e in errors)
    assert errors[2]["pairs"] == ["g>"]


def test_words_cannot_break_the_page():
    nasty = "</script><script>alert(1)</script><!--&\"'"
    report = summarise([], {nasty: nasty}, [], CHARSET, {nasty: nasty})
    report["confusions"] |= {"characters": ["<", '"'], "matrix": [[0, 1], [0, 0]], "row_totals": [1, 1],
                             "pairs": [{"truth": "<", "prediction": '"', "count": 1, "share": 1.0}]}
    report["sets"] = [{"dataset": "svt", "place": nasty, "words_read": 1, "unreadable": [nasty], "notes": [nasty],
                       "title": nasty, "per_length": [], "confusions": report["confusions"]}] * 2
    error = dict.fromkeys(("set", "path", "annotated", "truth", "prediction"), nasty) | {
        "confidence": 0.5, "pairs": ['<>"'], "image": ""}
    page = to_html(report, [error], 1)
    checker = Checker()
    checker.feed(page)
    assert not checker.open and page.count("<script") == 2 and gallery_data(page) == [error]


def test_gallery_cap_is_stated(run, tmp_path, monkeypatch):
    install(monkeypatch, READ)
    benchmark.main([f"--data_root={run[1]}", f"--output_dir={tmp_path}", "--show_progress=never", "--gallery_images=2",
                    "--num_parallel_workers=1"])
    page = (tmp_path / "report.html").read_text()
    assert "holds 2 of the 4 errors" in page
    assert [e["truth"] for e in gallery_data(page)] == ["house", "10"], "evenly spread"


@pytest.mark.parametrize(("options", "error", "message"), [
    (["--data_root="], DataError, "no folder given"),
    (["--data_root=nowhere"], DataError, "data_root nowhere does not exist"),
    (["--data_root={root}", "--output_dir={root}/out"], ConfigError, "is inside data_root"),
    (["--data_root={root}", "--lexicon=50"], ConfigError, "leave lexicon"),
    (["--data_root={root}", "--checkpoint_path=a", "--onnx_file=b"], ConfigError, "leave one out"),
])
def test_mistakes_are_named(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        benchmark.main([option.format(root=tmp_path) for option in options])


def test_nothing_found(tmp_path, monkeypatch, capsys):
    install(monkeypatch, READ)
    (tmp_path / "data").mkdir()
    assert benchmark.main([f"--data_root={tmp_path / 'data'}", f"--output_dir={tmp_path / 'out'}"]) == 1
    assert "no benchmark set was found" in capsys.readouterr().err
    assert (tmp_path / "out" / "results.md").read_text().count("the set was not found") == 17


def test_a_given_word_list_fills_the_50k_column(tmp_path, monkeypatch, capsys):
    install(monkeypatch, READ)
    for number in range(2):
        write_image(tmp_path / "data" / "ic03" / f"{number}.png", number)
    (tmp_path / "data" / "ic03" / "annotation.txt").write_text("0.png,House\n1.png,tree\n")
    (tmp_path / "words.dic").write_text("3\nhouse/S\nmouse/M\ncar\n")
    options = [f"--data_root={tmp_path / 'data'}", f"--output_dir={tmp_path / 'out'}", "--show_progress=never"]
    assert benchmark.main([*options, f"--lexicon_50k={tmp_path / 'words.dic'}"]) == 0
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (row(report, "IC03_860")["correct"], row(report, "IC03_860", "50k")["correct"]) == (1, 1)
    assert any("truths of 1 of 2 images are not in their lexicon" in note for note in report["sets"][0]["notes"])
    assert benchmark.main(options) == 0
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    assert row(report, "IC03_860", "50k")["note"] == "no word list was given (lexicon_50k)"
    with pytest.raises(ConfigError, match="lexicon_50k .*absent does not exist"):
        benchmark.main([*options, f"--lexicon_50k={tmp_path / 'absent'}"])


def test_broken_sets_do_not_stop_the_others(tmp_path, monkeypatch, capsys):
    install(monkeypatch, READ)
    root = tmp_path / "data"
    write_sets(root)
    (root / "deeper" / "svt1" / "test.xml").write_text("<tagset>")
    (root / "iiit5k" / "3.png").write_bytes(b"no image")
    assert benchmark.main([f"--data_root={root}", f"--output_dir={tmp_path / 'out'}", "--show_progress=never"]) == 0
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    assert row(report, "IIIT5K")["total"] == 3 and report["sets"][0]["unreadable"] == ["3.png"]
    assert row(report, "SVT")["status"] == "absent"
    assert row(report, "SVT")["note"].startswith("unreadable: ") and "not well-formed XML" in row(report, "SVT")["note"]
    assert row(report, "IC15_2077")["note"] == "the set was not found"
    assert any("not well-formed XML" in reason for reason in report["skipped"].values())
    assert "not well-formed XML" in capsys.readouterr().err


def test_a_conversion_that_left_words_out_is_made_again(tmp_path):
    write_sets(tmp_path / "data")
    image = tmp_path / "data" / "deeper" / "svt1" / "img" / "b.png"
    image.rename(tmp_path / "b.png")

    def converted():
        found = next(one for one in find_sets(str(tmp_path / "data")).sets if one.genuine)
        convert(found, str(tmp_path / "cache"))
        with open(f"{found.path}/annotation.txt") as file:
            return len(file.readlines()), found.notes
    words, notes = converted()
    assert words == 1 and "1 entries could not be converted, the first: img/b.png" in notes[1]
    assert converted() == (words, notes)
    (tmp_path / "b.png").rename(image)
    assert converted() == (2, ["converted from test.xml"])
    noted = next((tmp_path / "cache").glob("*/converted.json"))
    for text in ("", "{", "5", '{"a": 1}', "[5]", "[" * 100_000):
        noted.write_text(text)
        assert converted() == (2, ["converted from test.xml"]), "damaged notes: converted again"
    image.unlink()
    assert converted() == (2, ["converted from test.xml"]), "what is complete stays"


def test_folders_that_cannot_be_read_are_skipped(tmp_path, monkeypatch):
    write_sets(tmp_path)
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "round").symlink_to("round")
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)
    monkeypatch.setattr(os, "scandir", guarded)
    found = find_sets(str(tmp_path))
    assert found.skipped[str(tmp_path / "lost+found")] == "cannot be read: Permission denied"
    assert [one.dataset for one in found.sets] == ["iiit5k", "svt", "ic13"]


@pytest.mark.parametrize(("folder", "dataset"), [
    ("IIIT5K-Word", "iiit5k"), ("svt", "svt"), ("SVT-P", "svtp"), ("svt_perspective/test", "svtp"),
    ("ICDAR2003", "ic03"), ("icdar13", "ic13"), ("IC15", "ic15"), ("CUTE80", "cute80")])
def test_names_of_folders(tmp_path, folder, dataset):
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "annotation.txt").write_text("a.png,a\n")
    assert [one.dataset for one in find_sets(str(tmp_path)).sets] == [dataset]


def test_lmdb_folders(tmp_path, monkeypatch):
    lmdb = pytest.importorskip("lmdb")
    install(monkeypatch, READ)
    for name, numbers in (("IC13_857", (6, 7, 8)), ("mine", (0,))):
        folder = tmp_path / "data" / "evaluation" / name
        folder.mkdir(parents=True)
        with lmdb.open(str(folder), map_size=1 << 20) as file, file.begin(write=True) as writer:
            for place, number in enumerate(numbers, 1):
                write_image(tmp_path / "image.png", number)
                writer.put(b"image-%09d" % place, (tmp_path / "image.png").read_bytes())
                writer.put(b"label-%09d" % place, TRUTHS[number].encode())
            writer.put(b"num-samples", b"%d" % len(numbers))
    monkeypatch.setitem(BY_KEY, "IC13_857", replace(BY_KEY["IC13_857"], words=3))
    assert benchmark.main([f"--data_root={tmp_path / 'data'}", f"--output_dir={tmp_path / 'out'}",
                           "--show_progress=never"]) == 0
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    found = row(report, "IC13_857")  # an LMDB is chosen already: "10" and "isn't" count
    assert (found["status"], found["correct"], found["total"]) == ("complete", 2, 3)
    assert row(report, "IC13_1015")["status"] == "absent"
    assert list(report["skipped"].values()) == ["an LMDB, but its name is not that of a benchmark set"]


def test_averages():
    results = {b.key: Tally(10 * n + 5, 200 if b.key == "SVT" else 100) for n, b in enumerate(BENCHMARKS)}
    # In hundredths: IIIT5K 5, SVT 15 of 200, IC03 25 35, IC13 45 55, IC15 65 75, SVTP 85, CUTE80 95.
    values = {rule.key: average(rule, results).accuracy for rule in AVERAGES}
    assert values["six"] == pytest.approx((5 + 7.5 + 45 + 65 + 85 + 95) / 600)
    assert values["ten"] == pytest.approx((5 + 7.5 + 25 + 35 + 45 + 55 + 65 + 75 + 85 + 95) / 1000)
    assert values["words_7672"] == pytest.approx((5 + 15 + 55 + 75 + 85 + 95) / 700)
    assert values["words_7248"] == pytest.approx((5 + 15 + 45 + 65 + 85 + 95) / 700)
    del results["SVTP"]
    assert all(average(rule, results).accuracy is None and average(rule, results).missing == ("SVTP",)
               for rule in AVERAGES)
    for key in ("words_7672", "words_7248"):
        rule = next(rule for rule in AVERAGES if rule.key == key)
        assert sum(BY_KEY[member].words for member in rule.members) == int(key.partition("_")[2])


@pytest.mark.parametrize(("truth", "prediction", "pairs"), [
    ("club", "club", []), ("club", "clud", [("b", "d")]), ("club", "cub", [("l", "")]), ("cub", "club", [("", "l")]),
    ("", "ab", [("", "a"), ("", "b")]), ("ab", "", [("a", ""), ("b", "")]),
    ("kitten", "sitting", [("k", "s"), ("e", "i"), ("", "g")])])
def test_alignment(truth, prediction, pairs):
    assert confusion.confused_pairs(truth, prediction) == pairs
    aligned = confusion.align(truth, prediction)
    assert "".join(a for a, _ in aligned) == truth and "".join(b for _, b in aligned) == prediction


def test_alignment_is_shortest():
    import random

    from src.common.edit_distance import edit_distances
    rng = random.Random(1)
    for _ in range(300):
        truth, prediction = ("".join(rng.choices("ab0", k=rng.randrange(8))) for _ in range(2))
        assert len(confusion.confused_pairs(truth, prediction)) == edit_distances([truth], [prediction])[0]


def test_published_numbers_have_sources():
    entries = read_published()
    assert len(entries) >= 8
    for entry in entries:
        assert entry.source and (entry.numbers or entry.averages)
        assert all(0 < value < 100 for value in [*entry.numbers.values(), *entry.averages.values()])
    whole = [entry for entry in entries if "ten" in entry.averages]
    assert len(whole) == 4
    for entry in whole:  # a typing error in a number would show
        assert sum(entry.numbers.values()) / 10 == pytest.approx(entry.averages["ten"], abs=0.005)
    paper = next(entry for entry in entries if "TPAMI" in entry.name)
    assert paper.numbers["IC03_860/50k"] == 95.7


@pytest.mark.parametrize(("text", "message"), [
    ("- {name: a, training_data: b, numbers: {}}", "'a' lacks source"),
    ("- {name: a, training_data: b, source: c, numbers: {IC14: 3}}", "unknown column IC14"),
    ("- {name: a, training_data: b, source: c, numbers: 5}", "'a': expected columns with numbers, got 5"),
    ("- {name: a, training_data: b, source: c, numbers: {SVT: high}}", "expected columns with numbers"),
    ("- {name: a, training_data: [b], source: c}", "'a': training_data must be text"),
    ("a: [", "cannot be read"), ("3", "expected a list")])
def test_wrong_published_files(tmp_path, text, message):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        read_published(tmp_path / "p.yaml")


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Works the page as a reader does and leaves what it saw in the title.
ACTIONS = """<script>(function () {
  var form = document.getElementById("filters"), seen = [];
  function look() {
    seen.push(Array.from(document.querySelectorAll(".error .truth"), function (e) { return e.textContent; }).join(" ") +
      "|" + document.getElementById("count").textContent + "|" + decodeURIComponent(location.hash));
  }
  function put(name, value) {
    form.elements[name].value = value;
    form.elements[name].dispatchEvent(new Event("input", {bubbles: true}));
    look();
  }
  look();
  put("set", "IIIT5K"); put("text", "T"); put("text", ""); put("set", "");
  put("min", "3"); put("max", "5"); put("min", ""); put("max", "");
  put("order", "long"); put("order", ""); put("high", "0"); put("high", ""); put("pair", "0>o");
  setTimeout(function () {
    form.reset();
    setTimeout(function () {
      look();
      document.querySelector('[data-pair="g>"]').click();
      setTimeout(function () {
        look();
        var part = document.getElementById("confusions"), choice = part.querySelector("select");
        choice.value = "3";
        choice.dispatchEvent(new Event("change", {bubbles: true}));
        var open = Array.from(part.querySelectorAll(".view")).filter(function (view) {
          return getComputedStyle(view).display !== "none";
        });
        seen.push(open.length + open[0].querySelector(".pairs").textContent);
        open[0].querySelector("[data-pair]").click();
        setTimeout(function () { look(); document.title = JSON.stringify(seen); }, 50);
      }, 50);
    }, 50);
  }, 50);
})();</script></body>"""


def dump(page, tmp_path, fragment=""):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync",
               f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=4000", "--dump-dom",
               page.as_uri() + fragment]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium in the path")
def test_filters_in_a_browser(run, tmp_path):
    page = tmp_path / "report.html"
    page.write_text((run[0] / "report.html").read_text().replace("</body>", ACTIONS))
    title = re.search("<title>(.*?)</title>", dump(page, tmp_path), re.S)[1]
    seen = json.loads(title.replace("&gt;", ">").replace("&amp;", "&"))
    assert [line.split("|")[0] for line in seen] == [
        "house car living 10", "house car", "car", "house car", "house car living 10",
        "house car living", "house car", "house car 10", "house car living 10",
        "living house car 10", "house car living 10", "", "house car living 10", "10",
        "house car living 10", "living", "10 → o 1 100.00 %", "10"]
    assert seen[1].split("|")[1:] == ["2 of 4 errors", "#set=IIIT5K"] and seen[-3].endswith("#pair=g>")
    assert seen[-1].endswith("#set=IC13+1015&pair=0>o")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium in the path")
def test_filters_in_the_address(run, tmp_path):
    dom = dump(run[0] / "report.html", tmp_path, "#set=SVT&min=6")
    assert re.findall('class="truth"[^>]*>([^<]*)<', dom) == ["living"]
    assert ">1 of 4 errors<" in dom


def test_the_genuine_list_goes_before_another_annotation(tmp_path):
    write_sets(tmp_path)
    (tmp_path / "Challenge2" / "annotation.txt").write_text("word_6.png,wrong\n")
    found = next(one for one in find_sets(str(tmp_path)).sets if one.dataset == "ic13")
    source = open_source("ic13", found.path, "test")
    assert source.text(0) == TRUTHS[6] and "annotation.txt beside it" in source.notes[0]


def test_no_set_can_be_read(tmp_path, monkeypatch, capsys):
    install(monkeypatch, READ)
    write_image(tmp_path / "data" / "svt1" / "img" / "a.png", 0)
    (tmp_path / "data" / "svt1" / "test.xml").write_text("<tagset>")
    assert benchmark.main([f"--data_root={tmp_path / 'data'}", f"--output_dir={tmp_path / 'out'}"]) == 1
    assert f"error: none of the 1 benchmark sets under {tmp_path / 'data'} can be read\n" in capsys.readouterr().err
