from tests.memory.conftest import no_constants_of_this_machine, quick, quick_plan  # noqa: F401
