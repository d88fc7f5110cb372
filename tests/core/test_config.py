import pytest
from msgspec.structs import replace

from coursekit.core.config import DetectorConfig, TrainConfig, check_config, check_detector
from coursekit.core.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "value"),
    [("size", 10**9), ("size", 8), ("num_classes", 10**8), ("num_classes", 0), ("channels", 10**7), ("hidden", 10**6),
     ("hidden", -1), ("frozen_stages", 10**40)],
)  # fmt: skip
def test_an_absurd_detector_is_refused_before_it_is_built(name, value):
    with pytest.raises(ConfigError, match=rf"^{name} is .*: use a number from \d+ to [\d,]+\.$"):
        check_detector(replace(DetectorConfig(2), **{name: value}))
    check_detector(DetectorConfig(2))


@pytest.mark.parametrize(
    ("name", "value"), [("workers", 10**6), ("epochs", 10**12), ("batch_size", 10**9), ("seed", 2**64), ("seed", -1)]
)
def test_absurd_options_of_a_training_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"^{name} is "):
        check_config(replace(TrainConfig(), **{name: value}))
