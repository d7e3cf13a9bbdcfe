"""SVT's XML to word crops, the shared part with IC03, and bad XML files, boxes and images."""
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest

import src.common.files
import src.convert.conversion
from convert_lmdb import main as convert_lmdb
from convert_svt import main
from src.common.errors import DataError
from src.convert.tagset import clamped_box, crop_name, read_tagset
from src.dataset import create_dataset, open_source
from src.svt_dataset import SVTSource


def noise(height=60, width=90, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def photograph(folder, name, **keys):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), noise(**keys))


def box(x, y, width, height, word):
    tag = "" if word is None else f"<tag>{word}</tag>"
    return f'<taggedRectangle height="{height}" width="{width}" x="{x}" y="{y}">{tag}</taggedRectangle>'


def image(name, *boxes, lex="ONE,TWO,THREE"):
    return (f"<image><imageName>{name}</imageName><address/><lex>{lex}</lex><Resolution x='90' y='60'/>"
            f"<taggedRectangles>{''.join(boxes)}</taggedRectangles></image>")


def write_xml(folder, *images, encoding="utf-8"):
    folder.mkdir(exist_ok=True)
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n<tagset>{"".join(images)}</tagset>'
    (folder / "test.xml").write_bytes(text.encode(encoding))


def make(folder, *images, names=("img/1.png",), encoding="utf-8"):
    for name in names:
        photograph(folder, name)
    write_xml(folder, *images, encoding=encoding)
    return ["-d", str(folder), "-x", "test.xml", "-o", str(folder / "out")]


def content(path):
    source = SVTSource(str(path))
    return [(source.reference(i), source.text(i)) for i in range(len(source))]


def test_crops_annotation_and_lexicons(tmp_path, capsys):
    arguments = make(tmp_path / "d", image("img/1.png", box(10, 5, 30, 20, "ONE"), box(-4, 50, 20, 40, "TWO")),
                     image("img/2.png", box(0, 0, 90, 60, "FOUR"), lex="FOUR, FIVE,ONE"),
                     names=("img/1.png", "img/2.png"))
    assert main(arguments) == 0
    out = tmp_path / "d" / "out"
    assert content(out) == [("img/1_0_ONE.png", "ONE"), ("img/1_1_TWO.png", "TWO"), ("img/2_0_FOUR.png", "FOUR")]
    for name, rows, columns in (("1_0_ONE", slice(5, 25), slice(10, 40)), ("1_1_TWO", slice(50, 60), slice(0, 16))):
        np.testing.assert_array_equal(cv2.imread(str(out / "img" / f"{name}.png")), noise()[rows, columns])
    source = SVTSource(str(out))
    assert source.lexicon_names() == ("50", "full")
    assert source.lexicon("50", 1) == ["ONE", "TWO", "THREE"] and source.lexicon("50", 2) == ["FOUR", "FIVE", "ONE"]
    assert source.shared_lexicon("full") == ["ONE", "TWO", "THREE", "FOUR", "FIVE"] == source.lexicon("full", 0)
    assert source.shared_lexicon("50") is None
    with pytest.raises(DataError, match="svt: there is no '1k' lexicon .*lexicons there: 50, full"):
        source.lexicon("1k", 0)
    assert not (out / src.convert.conversion.UNFINISHED).exists() and not (out / "report.txt").exists()
    printed = capsys.readouterr()
    assert "annotation.txt: 3 words from 2 images" in printed.out and "--eval_dataset svt" in printed.out
    assert "cutting words" in printed.err


def test_jpeg_on_request(tmp_path):
    assert main([*make(tmp_path / "d", image("img/1.png", box(0, 0, 40, 40, "A,B"))), "-f", "jpg"]) == 0
    assert content(tmp_path / "d" / "out") == [("img/1_0_AB.jpg", "A,B")]
    expected = cv2.imdecode(cv2.imencode(".jpg", noise()[:40, :40], [cv2.IMWRITE_JPEG_QUALITY, 95])[1], 1)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "d" / "out" / "img" / "1_0_AB.jpg")), expected)


def test_labels_with_special_characters(tmp_path):
    words = ["a/b", "../../x", '"quoted"', "two words", "漢字", "naïve", "1,5", "A&amp;B", "x" * 300, "a.,"]
    boxes = [box(i, 0, 20, 20, word) for i, word in enumerate(words)]
    assert main(make(tmp_path / "d", image("img/1.png", *boxes))) == 0
    read = content(tmp_path / "d" / "out")
    assert [word for _, word in read] == [word.replace("&amp;", "&") for word in words]
    names = [path for path, _ in read]
    assert names[:6] == ["img/1_0_ab.png", "img/1_1_x.png", "img/1_2_quoted.png", "img/1_3_twowords.png",
                         "img/1_4_.png", "img/1_5_nave.png"]
    assert all(len(name) < 100 and (tmp_path / "d" / "out" / name).is_file() for name in names)
    files = {p.relative_to(tmp_path / "d" / "out").as_posix() for p in (tmp_path / "d" / "out").rglob("*.png")}
    assert files == set(names)


def test_encoding_declared_in_the_xml(tmp_path):
    for encoding in ("ISO-8859-1", "utf-16"):
        folder = tmp_path / encoding
        assert main(make(folder, image("img/1.png", box(0, 0, 9, 9, "CAFÉ")), encoding=encoding)) == 0
        assert content(folder / "out") == [("img/1_0_CAF.png", "CAFÉ")]


BOMB = """<?xml version="1.0"?><!DOCTYPE t [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><tagset><image><imageName>&c;</imageName></image></tagset>"""
OUTSIDE = """<?xml version="1.0"?><!DOCTYPE t [<!ENTITY a SYSTEM "file:///etc/hostname">]>
<tagset><image><imageName>&a;</imageName></image></tagset>"""

PARAMETER = """<?xml version="1.0"?><!DOCTYPE t [<!ENTITY % a SYSTEM "file:///etc/hostname"> %a;]>
<tagset><image><imageName>x</imageName></image></tagset>"""


@pytest.mark.parametrize("text, message", [
    (PARAMETER, "declares entities"), ("", "not well-formed"),
    ("<tagset><image>", "not well-formed XML: .*line 1"), ("no xml", "not well-formed"),
    ("<tagset/>", "holds no <image>"), ("<a>\x00</a>", "not well-formed"), (BOMB, "declares entities"),
    (OUTSIDE, "declares entities"), ('<?xml version="1.0" encoding="none-such"?><a/>', "XML"),
    (b'<?xml version="1.0" encoding="utf-8"?><a>\xff</a>', "not well-formed")])
def test_bad_xml(tmp_path, text, message):
    (tmp_path / "test.xml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message) as caught:
        main(["-d", str(tmp_path), "-o", str(tmp_path / "out")])
    assert "test.xml" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_outside_dtd_is_not_read(tmp_path):
    """A file that names one, as some tools write it, is read without it: what it would declare is not known."""
    (tmp_path / "x.dtd").write_text('<!ENTITY a "from outside">')
    text = ('<?xml version="1.0"?><!DOCTYPE tagset SYSTEM "x.dtd"><tagset><image><imageName>{}</imageName></image>'
            "</tagset>")
    (tmp_path / "test.xml").write_text(text.format("a.png"))
    assert [image.name for image in read_tagset(str(tmp_path / "test.xml"))] == ["a.png"]
    (tmp_path / "test.xml").write_text(text.format("b&a;"))
    with pytest.raises(DataError, match="undefined entity &a;"):
        read_tagset(str(tmp_path / "test.xml"))


def test_no_xml_and_no_folder(tmp_path):
    with pytest.raises(DataError, match="test.xml: no such XML file"):
        main(["-d", str(tmp_path)])
    with pytest.raises(DataError, match="gone: no such folder"):
        main(["-d", str(tmp_path / "gone")])


@pytest.mark.parametrize("attributes, expected", [
    ((10, 5, 30, 20), (10, 5, 40, 25)), ((-4, -1, 10, 10), (0, 0, 6, 9)), ((80, 50, 99, 99), (80, 50, 90, 60)),
    ((0.5, 0.5, 1, 1), (0, 0, 2, 2)), ((10.0, 5.0, 3.0, 2.0), (10, 5, 13, 7)), ((89, 59, 1, 1), (89, 59, 90, 60)),
    ((0, 0, 0.25, 0.25), (0, 0, 1, 1)), ((1e300, 0, 1, 1), "outside"), ((90, 0, 5, 5), "outside"),
    ((-5, 0, 5, 5), "outside"), ((0, -9, 5, 5), "outside"), ((0, 60, 5, 5), "outside"), ((0, 0, 0, 5), "empty"),
    ((0, 0, 5, -5), "empty"), (("nan", 0, 5, 5), "not finite"), ((0, 0, "inf", 5), "not finite"),
    (("a", 0, 5, 5), "not four numbers"), ((0, 0, "", 5), "not four numbers")])
def test_boxes(attributes, expected):
    attributes = dict(zip(("x", "y", "width", "height"), map(str, attributes), strict=True))
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            clamped_box(attributes, 60, 90)
        return
    assert clamped_box(attributes, 60, 90) == expected
    with pytest.raises(DataError, match="not four numbers"):
        clamped_box({key: attributes[key] for key in ("x", "y", "width")}, 60, 90)


def test_bad_items_are_left_out_and_reported(tmp_path, capsys):
    good = box(0, 0, 9, 9, "GOOD")
    folder = tmp_path / "d"
    arguments = make(
        folder, image("img/1.png", good, box(200, 0, 9, 9, "FAR"), box(0, 0, 0, 9, "FLAT"), box(0, 0, 9, 9, " "),
                      box(0, 0, 9, 9, None), box(0, 0, 9, 9, "A\tB")),
        image("../../up.png", good), image("/etc/abs.png", good, good), image("img/gone.png", good),
        image("img/cut.png", good), image("img/text.png", good), image("img/1.png", box(9, 9, 9, 9, "AGAIN")),
        image("", good), image("img/2.png", good), names=("img/1.png", "img/2.png", "img/cut.png", "img/text.png"))
    (folder / "img/cut.png").write_bytes((folder / "img/cut.png").read_bytes()[:-200])
    (folder / "img/text.png").write_text("no image")
    assert main(arguments) == 3
    assert content(folder / "out") == [("img/1_0_GOOD.png", "GOOD"), ("img/2_0_GOOD.png", "GOOD")]
    report = [line.split("\t") for line in (folder / "out/report.txt").read_text().splitlines()]
    expected = [("img/1.png box 1 'FAR'", "outside"), ("img/1.png box 2 'FLAT'", "empty"),
                ("img/1.png box 3 ''", "word is empty"), ("img/1.png box 4 ''", "word is empty"),
                ("img/1.png box 5", "tab or a line break"), ("../../up.png", "climbs out"),
                ("/etc/abs.png", "relative to the folder (2 words)"), ("img/gone.png", "cannot be read: No such file"),
                ("img/cut.png", "truncated"), ("img/text.png", "not a readable image"), ("img/1.png", "there twice"),
                ("image 8", "path of the image is empty")]
    # The item of a word with a tab is shown with the tab escaped, so that the report keeps its two columns.
    assert [len(line) for line in report] == [2] * len(expected)
    for (item, reason), (part, why) in zip(report, expected, strict=True):
        assert part in item and why.split(" (")[0] in reason, (item, reason)
    assert "12 left out, the first: img/1.png box 1 'FAR'" in capsys.readouterr().err
    with pytest.raises(DataError, match="FAR.*outside the picture of 90 x 60"):
        main([*arguments, "--strict"])
    assert not (tmp_path / "up.png").exists()


def test_a_second_run_over_a_half_written_output(tmp_path, monkeypatch):
    folder = tmp_path / "d"
    arguments = make(folder, image("img/1.png", *(box(i, 0, 20, 20, f"W{i}") for i in range(6))))
    write_bytes, count = src.common.files.write_bytes, 0

    def interrupted(path, data, durable):
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        write_bytes(path, data, durable)
    monkeypatch.setattr("src.convert.tagset.write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main(arguments)
    monkeypatch.undo()
    assert len(list((folder / "out/img").iterdir())) == 3
    for path in (folder / "out", folder / "out/img"):
        with pytest.raises(DataError, match="no annotation.txt|unfinished conversion"):
            SVTSource(str(path))
    assert main(arguments) == 0
    assert [word for _, word in content(folder / "out")] == [f"W{i}" for i in range(6)]
    assert len(SVTSource(str(folder / "out/img"))) == 6


def test_full_disk_in_the_middle(tmp_path, repo):
    """A limit on the file size stands for the disk: the write fails in the operating system, half-way."""
    folder = tmp_path / "d"
    photograph(folder, "img/1.png")
    photograph(folder, "img/2.png", height=400, width=400)
    write_xml(folder, image("img/1.png", box(0, 0, 9, 9, "SMALL")), image("img/2.png", box(0, 0, 400, 400, "BIG")))
    code = ("import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
            "import convert_svt; from src.common.errors import run_main; run_main(convert_svt.main)")
    result = subprocess.run([sys.executable, "-c", code, "-d", str(folder), "-o", str(folder / "out")], cwd=repo,
                            timeout=180, capture_output=True, text=True)
    assert result.returncode == 2 and "error: " in result.stderr and "img/2_0_BIG.png" in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(p.name for p in (folder / "out").rglob("*.*")) == ["1_0_SMALL.png", "unfinished.txt"]


def test_nothing_left_and_other_words_there(tmp_path):
    arguments = make(tmp_path / "d", image("img/1.png", box(900, 0, 9, 9, "FAR")))
    with pytest.raises(DataError, match="none of its words can be converted; the first: img/1.png box 0"):
        main(arguments)
    out = tmp_path / "d" / "out"
    (out / "annotation.txt").write_text("img/old.png,OLD\n")
    arguments = make(tmp_path / "d", image("img/1.png", box(0, 0, 9, 9, "NEW")))
    with pytest.raises(DataError, match="already holds other words.*--overwrite"):
        main(arguments)
    assert main([*arguments, "-a", "annotation_new.txt"]) == 0
    source = SVTSource(str(out / "annotation_new.txt"))
    assert source.lexicon("50", 0) == ["ONE", "TWO", "THREE"] and (out / "lexicon_full_new.txt").exists()
    assert main([*arguments, "--overwrite"]) == 0 and content(out) == [("img/1_0_NEW.png", "NEW")]


def test_crop_names_never_collide():
    taken = set()
    names = [crop_name(stem, 0, word, "png", taken) for stem, word in
             [("a", "x"), ("a", "X!"), ("A", "x"), ("a b", "x"), ("a_b", "x"), ("a\\b", "é")]]
    assert names == ["a_0_x.png", "a_0_X_2.png", "A_0_x_3.png", "a_b_0_x.png", "a_b_0_x_2.png", "a/b_0_.png"]


def test_program(tmp_path, repo):
    arguments = make(tmp_path / "d", image("img/1.png", box(0, 0, 9, 9, "A"), box(0, 0, 0, 0, "B")))

    def run(*words):
        return subprocess.run([sys.executable, str(repo / "convert_svt.py"), *words], cwd=tmp_path, timeout=180,
                              capture_output=True, text=True)
    assert run(*arguments).returncode == 3
    strict = run(*arguments, "--strict")
    assert strict.returncode == 2 and "error: img/1.png box 1 'B': the box is empty" in strict.stderr
    assert "--strict" in run("--help").stdout


def test_genuine_svt(tmp_path, shared_data):
    folder = shared_data / "svt1"
    assert main(["-d", str(folder), "-x", str(folder / "test.xml"), "-o", str(tmp_path / "out")]) == 0
    words = content(tmp_path / "out")
    assert len(words) == len({path for path, _ in words}) == 647
    # The reference reads the file with another parser and cuts by numpy alone.
    number, photographs, union = 0, set(), set()
    source = SVTSource(str(tmp_path / "out"))
    for element in ElementTree.parse(folder / "test.xml").getroot():
        name = element.find("imageName").text
        picture = cv2.imread(str(folder / name))
        photographs.add(name)
        lexicon = element.find("lex").text.split(",")
        union.update(lexicon)
        for rectangle in element.find("taggedRectangles"):
            x, y, w, h = (int(rectangle.get(key)) for key in ("x", "y", "width", "height"))
            assert words[number][1] == rectangle.find("tag").text
            crop = cv2.imread(str(tmp_path / "out" / words[number][0]))
            np.testing.assert_array_equal(crop, picture[max(y, 0):y + h, max(x, 0):x + w])
            assert source.lexicon("50", number) == lexicon and words[number][1] in lexicon
            number += 1
    assert len(photographs) == 249 and set(source.shared_lexicon("full")) == union and len(union) == 4282
    assert convert_lmdb(["-d", "svt", "-p", str(tmp_path / "out"), "-o", str(tmp_path / "lmdb")]) == 0
    packed = open_source("lmdb", str(tmp_path / "lmdb"), "test")
    assert packed.lexicon_names() == ("50", "full") and packed.shared_lexicon("full") == source.shared_lexicon("full")
    for i in range(647):
        assert packed.read(i) == source.read(i) and packed.lexicon("50", i) == source.lexicon("50", i)
    report = create_dataset("svt", str(tmp_path / "out"), 64, is_training=False).report
    assert "647 words (protocol whole: 647 of 647 words count), all evaluated" in report.summary()


def test_read_tagset_of_svt(shared_data):
    images = read_tagset(str(shared_data / "svt1" / "test.xml"))
    assert len(images) == 249 and all(37 <= len(image.lexicon) <= 64 for image in images)
