"""The tests of the decoder run with the compiled kernel too, where it is built."""

from collections.abc import Iterator

import events_samples
import pytest

from processors.compiled import built
from processors.events import Decoder


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__.startswith("test_events_"):
        metafunc.fixturenames.append("reader")
        metafunc.parametrize("reader", ["python", "kernel"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def reader(request: pytest.FixtureRequest) -> Iterator[None]:
    """Decoders that are made without saying so read with this one."""
    if request.param == "kernel":
        if built() is None:
            pytest.skip("the kernel is not built (`make kernel`)")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Decoder.__init__, "__kwdefaults__", {"kernel": True})
            patch.setattr(
                events_samples.DECODER,
                "_kernel",
                Decoder(events_samples.CATALOGUE, events_samples.Limits(), events_samples.SKEW_MS)._kernel,
            )
            yield
    else:
        yield
