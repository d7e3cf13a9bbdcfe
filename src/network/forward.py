"""A MindSpore network as a plain function on arrays."""
from collections.abc import Callable

import numpy as np
from mindspore import Tensor, nn


def network_forward(net: nn.Cell, batch_size: int, singly: bool = False) -> Callable[[np.ndarray], np.ndarray]:
    """Wraps a MindSpore network as a plain function on arrays.

    The graph is compiled for one batch size; a smaller batch is filled up and the surplus cut off again, so that a
    ragged last batch costs no second compilation.

    Args:
        net: a CRNN; it is put into evaluation mode at every call.
        batch_size: the size of full batches.
        singly: an image alone is not filled up, at the price of a second compilation.

    Returns:
        A ``src.reading.reading.Forward``.
    """
    def forward(images: np.ndarray) -> np.ndarray:
        count = len(images)
        if count < batch_size and not (singly and count == 1):
            images = np.concatenate([images, np.zeros((batch_size - count, *images.shape[1:]), images.dtype)])
        training = net.training
        net.set_train(False)
        try:
            return net(Tensor(images)).asnumpy()[:, :count].astype(np.float32)
        finally:
            net.set_train(training)

    return forward
