"""What the tests of pictures share."""

import numpy as np
from PIL import Image

from coursekit.show import save


def all_texts(axes):
    return {text.get_text() for text in axes.texts}


def is_drawn(fig, path):
    save(fig, path)
    return np.asarray(Image.open(path).convert("RGB")).std() > 10
