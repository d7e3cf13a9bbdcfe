#!/usr/bin/env bash
# Dictionaries of PaddleOCR hold classes that no label in normal form can reach.
#
# Expected: each line of a dictionary is one character, and a label in Unicode's usual form (NFC) reaches every class.
# Seen in paddleocr 2.7.0.3 (28 November 2026), where a class is a line without its line break:
# * seven dictionaries (German, Ukrainian, ...) have the class "p" + tab, the Russian one a letter + blank; none of the
#   seven has a plain "p", so a text with a p has no class for it;
# * devanagari_dict.txt and hi_dict.txt have seven letters that NFC takes apart into two characters;
# * korean_dict.txt has compatibility ideographs that NFC makes one of with another class of the same dictionary, and so
#   do the Chinese ones.
# Who strips lines, or composes texts and dictionaries, changes the number of classes; who does not loses these letters.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip download -q --no-deps --dest "$folder" paddleocr==2.7.0.3
python3 - "$folder" <<'END'
import glob
import sys
import unicodedata
import zipfile

wheel = zipfile.ZipFile(glob.glob(f"{sys.argv[1]}/*.whl")[0])
classes = {}
for name in wheel.namelist():
    if "/utils/" in name and name.endswith(("_dict.txt", "ppocr_keys_v1.txt")):
        lines = wheel.read(name).decode().replace("\r\n", "\n").rstrip("\n").split("\n")
        classes[name.rpartition("/")[2]] = lines
spaced = {name: [line for line in lines if line != line.strip() and len(line) == 2] for name, lines in classes.items()}
spaced = {name: found for name, found in spaced.items() if found}
print("with white space:", spaced)
assert sum(found == ["p\t"] for found in spaced.values()) == 7, "the tabs are gone: this finding is out of date"
assert all("p" not in classes[name] for name, found in spaced.items() if found == ["p\t"])
for name, apart, joined in (("devanagari_dict.txt", 7, 0), ("hi_dict.txt", 7, 0), ("korean_dict.txt", None, None),
                            ("ppocr_keys_v1.txt", 0, 2)):
    lines = classes[name]
    forms = {line: unicodedata.normalize("NFC", line) for line in lines}
    two = [line for line, form in forms.items() if len(form) == 2 and len(line) == 1]
    same = [line for line, form in forms.items() if form != line and form in forms]
    print(f"{name}: {len(lines)} classes, NFC takes {len(two)} apart and makes {len(same)} equal to another")
    assert apart is None or (len(two), len(same)) == (apart, joined), "another dictionary than seen"
    assert two or same, "this finding is out of date"
END
