"""IC03's words.xml to word crops, and which of them count."""
import cv2
import numpy as np

from convert_ic03 import main
from src.convert.tagset import read_tagset
from src.dataset import create_dataset
from src.ic03_dataset import IC03Source
from tests.convert.test_convert_svt import photograph


def test_crops_protocol_and_lexicon(tmp_path, capsys):
    photograph(tmp_path, "a b_1/P.JPG")
    boxes = [(1, 2, 30, 20, "Door"), (0, 0, 9, 9, "it's"), (0, 0, 9, 9, "of"), (0, 0, 9, 9, "DOOR"),
             (-4.0, 50.5, 20.0, 90.0, "1,000"), (0, 0, 9, 9, "Café"), (0, 0, 9, 9, "311")]
    xml = "".join(f'<taggedRectangle x="{x}" y="{y}" width="{w}" height="{h}" offset="0.0" rotation="0.0"><tag>{tag}'
                  "</tag><segmentation/></taggedRectangle>" for x, y, w, h, tag in boxes)
    xml = ('<?xml version="1.0" encoding="ISO-8859-1"?><tagset><image><imageName>a b_1/P.JPG</imageName>'
           f'<resolution x="90" y="60"/><taggedRectangles>{xml}</taggedRectangles></image></tagset>')
    (tmp_path / "words.xml").write_bytes(xml.encode("latin-1"))
    out = tmp_path / "out"
    assert main(["-d", str(tmp_path), "-o", str(out)]) == 0
    source = IC03Source(str(out))
    names = ["a_b_1_P_0_Door.png", "a_b_1_P_1_its.png", "a_b_1_P_2_of.png", "a_b_1_P_3_DOOR.png",
             "a_b_1_P_4_1000.png", "a_b_1_P_5_Caf.png", "a_b_1_P_6_311.png"]
    assert [(source.reference(i), source.text(i)) for i in range(7)] == [
        (name, tag) for name, (*_, tag) in zip(names, boxes, strict=True)]
    picture = cv2.imread(str(tmp_path / "a b_1/P.JPG"))
    np.testing.assert_array_equal(cv2.imread(str(out / names[4])), picture[50:, :16])
    assert (out / "protocol_860.txt").read_text().split() == [names[0], names[3], names[6]]
    assert source.lexicon_names() == ("full",) and source.shared_lexicon("full") == ["Door", "311"]
    dataset = create_dataset("ic03", str(out), 2, is_training=False)
    assert [text for batch in dataset for text in batch.text] == ["Door", "DOOR", "311"]
    summary = dataset.report.summary()
    assert "ic03: 3 words (protocol 860: 3 of 7 words count; dropped 4: a non-alphanumeric character or" in summary
    assert '"it\'s" (a_b_1_P_1_its.png)' in summary and "the whole benchmark has 860" in summary
    assert "3 words count" in capsys.readouterr().out


def test_lines_of_the_model_zoo(tmp_path):
    (tmp_path / "annotation.txt").write_text("a_0_one.JPG,one,\nb.JPG,1,000,\nc.JPG,two\nd.JPG\tx,\n")
    source = IC03Source(str(tmp_path))
    assert [(source.reference(i), source.text(i)) for i in range(4)] == [
        ("a_0_one.JPG", "one"), ("b.JPG", "1,000"), ("c.JPG", "two"), ("d.JPG", "x,")]


def test_genuine_scenes(tmp_path, shared_data):
    folder = shared_data / "icdar03" / "SceneTrialTest"
    assert main(["-d", str(folder), "-o", str(tmp_path)]) == 0
    words = [(image.name, *word) for image in read_tagset(str(folder / "words.xml")) for word in image.words]
    source = IC03Source(str(tmp_path))
    assert len(source) == len(words) == 287
    for i, (name, word, box) in enumerate(words):
        x, y, w, h = (int(float(box[key])) for key in ("x", "y", "width", "height"))
        assert source.text(i) == word
        crop = cv2.imread(source.location(i))
        picture = cv2.imread(str(folder / name), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        np.testing.assert_array_equal(crop, picture[max(y, 0):y + h, max(x, 0):x + w])
    kept = (tmp_path / "protocol_860.txt").read_text().split("\n")[:-1]
    assert len(kept) == 237
    texts = [(source.text(i), source.reference(i) in kept) for i in range(287)]
    left_out = {text for text, counts in texts if not counts} - {text for text, counts in texts if counts}
    assert {"WRIGLEY'S", "&", "ah!", "4", "OR"} <= left_out and len(left_out) < 50
    whole = create_dataset("ic03", str(tmp_path), 64, is_training=False)
    assert whole.num_samples == 237 and [i for batch in whole for i in batch.index] == [
        i for i in range(287) if source.reference(i) in kept]
