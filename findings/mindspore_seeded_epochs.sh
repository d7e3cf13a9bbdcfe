#!/usr/bin/env bash
# After set_seed, a MindSpore data set that gets a new iterator for each epoch repeats the order and augmentation of the first.
#
# Expected: the seed makes a run repeatable; its epochs still differ, as those of a shuffling PyTorch DataLoader do when
# one loops over it again.
# Seen with mindspore 2.10.0 and 2.9.0 (29 November 2026): `for epoch in ...: for row in data.create_tuple_iterator():`, the loop of
# MindSpore's own tutorials (and `for row in data:`). Without a seed the epochs differ. After mindspore.set_seed(1), or
# dataset.config.set_seed(1), all of them have the same order, and RandomColorAdjust gives each image the same colours: no
# augmentation but the first is ever seen. One iterator made before the loop with num_epochs=3 has three different epochs.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mindspore==2.10.0 numpy==1.26.4
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
from mindspore.dataset import vision

IMAGE = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)


class Source:
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return index, IMAGE


def data():
    made = ds.GeneratorDataset(Source(), ["index", "image"], shuffle=True)
    return made.map(vision.RandomColorAdjust(brightness=(0.2, 1.8)), ["image"])


def one_epoch(rows):
    """The images in their order, each with its mean brightness."""
    return [(int(index), round(float(np.asarray(image).mean()), 1)) for index, image in rows]


def anew(made):
    return [one_epoch(made.create_tuple_iterator(output_numpy=True)) for _ in range(3)]


seen = {"no seed": anew(data())}
ds.config.set_seed(1)
seen["dataset.config.set_seed"] = anew(data())
ms.set_seed(1)
seen["set_seed"] = anew(data())
made = data()
seen["set_seed, for row in data"] = [one_epoch((row[0].asnumpy(), row[1].asnumpy()) for row in made) for _ in range(3)]
iterator = data().create_tuple_iterator(num_epochs=3, output_numpy=True)
seen["set_seed, one iterator"] = [one_epoch(iterator) for _ in range(3)]
for how, epochs in seen.items():
    print(how, *epochs, sep="\n    ")
alike = {how: epochs[0] == epochs[1] == epochs[2] for how, epochs in seen.items()}
if alike["no seed"] or alike["set_seed, one iterator"]:
    sys.exit("epochs are alike where they were not: look at the example again")
if not (alike["set_seed"] and alike["dataset.config.set_seed"] and alike["set_seed, for row in data"]):
    sys.exit("epochs differ after set_seed now: this finding is out of date")
PYTHON
