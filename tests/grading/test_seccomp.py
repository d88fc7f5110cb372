import pytest

from coursekit.core.errors import ConfigError
from coursekit.grading import seccomp


@pytest.fixture
def built(monkeypatch):
    """The filter's program, made anew: for this machine or another."""
    try:
        seccomp._library()
    except ConfigError:
        pytest.skip("libseccomp isn't installed here")
    return seccomp.program.__wrapped__


def test_it_is_a_program_of_the_kernel(built):
    assert len(built()) % 8 == 0
    assert 500 < len(built()) < 4096 * 8


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
def test_it_can_be_built_for_each_processor(built, machine, monkeypatch):
    monkeypatch.setattr(seccomp, "NEWER", {})  # a number without a name is only taken for the processor at hand
    assert len(built(machine)) > 500


def test_an_older_library_does_not_know_each_name(built, monkeypatch):
    monkeypatch.setattr(seccomp, "DENIED", [*seccomp.DENIED, "no_such_call"])
    assert built()


def test_without_the_library_it_says_what_to_install(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(seccomp, "_library", seccomp._library.__wrapped__)
    monkeypatch.setattr(seccomp.ctypes, "CDLL", missing)
    with pytest.raises(ConfigError, match="apt install libseccomp2"):
        seccomp.program.__wrapped__()
