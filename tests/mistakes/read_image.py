"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

from io import BytesIO

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps

from coursekit.core.errors import DataError


def wrong_as_the_tutorial_has_it(path):
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


def wrong_no_mode(path):
    try:
        with Image.open(path) as file:
            values = np.array(ImageOps.exif_transpose(file))
    except Exception as error:
        raise DataError(f"{path}: {error}") from error
    return torch.from_numpy(values).permute(2, 0, 1)


def wrong_lies_on_its_side(path):
    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except Exception as error:
        raise DataError(f"{path}: {error}") from error
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def wrong_verified_only(path):
    try:
        with Image.open(path) as file:
            file.verify()
    except Exception as error:
        raise DataError(f"{path}: {error}") from error
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def wrong_system_errors_only(path):
    try:
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    except OSError as error:
        raise DataError(f"{path}: {error}") from error
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def wrong_no_name(path):
    try:
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    except Exception:
        raise DataError("cannot read this image") from None
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def wrong_channels_last(path):
    try:
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    except Exception as error:
        raise DataError(f"{path}: {error}") from error
    return torch.from_numpy(np.array(picture))


def wrong_reshaped(path):
    try:
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    except Exception as error:
        raise DataError(f"{path}: {error}") from error
    return torch.from_numpy(np.array(picture)).reshape(3, picture.height, picture.width)


def wrong_truncated_files_allowed(path):
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    except Exception as error:
        raise DataError(f"{path}: {error}") from error
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def wrong_none_for_damaged(path):
    try:
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    except Exception:
        return None
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def wrong_floats(path):
    try:
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    except Exception as error:
        raise DataError(f"{path}: {error}") from error
    return torch.from_numpy(np.array(picture, dtype=np.float32)).permute(2, 0, 1) / 255


def right_from_bytes(path):
    try:
        picture = Image.open(BytesIO(path.read_bytes()))
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
        values = np.asarray(picture.convert("RGB"))
    except Exception as error:
        raise DataError(f"{path.name} is damaged: {error!r}") from None
    return torch.tensor(values).permute(2, 0, 1).contiguous()


def right_everything_inside(path):
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file.convert("RGB"))
            return torch.from_numpy(np.moveaxis(np.array(picture), 2, 0))
    except Exception as error:
        raise DataError(str(path)) from error
