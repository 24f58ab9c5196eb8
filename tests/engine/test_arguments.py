"""Arguments of calls: in order or by name, as the method declares them."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from engine.runtime.handles import Api, decode_arguments
from engine.wire.codec import encode


class Machine:
    async def resize(self, size: int | str, *, wait: float = 0.0) -> None:
        raise NotImplementedError


class Recorder:
    def __init__(self):
        self.asked = []

    async def call(self, method, face, arguments, named):
        self.asked.append((method, arguments, named))


def test_those_given_by_name_are_read_as_they_are_declared():
    data, named = encode(["1g"]), encode({"wait": 5})

    assert decode_arguments(Machine().resize, data, named) == (["1g"], {"wait": 5.0})
    assert decode_arguments(Machine().resize, data) == (["1g"], {})


@pytest.mark.parametrize("named", [{"wait": "long"}, ["wait"]])
def test_those_that_do_not_fit_are_refused(named):
    with pytest.raises(msgspec.ValidationError):
        decode_arguments(Machine().resize, encode(["1g"]), encode(named))


def test_a_component_gives_another_one_arguments_by_name():
    recorder = Recorder()

    asyncio.run(Api(recorder, Machine).resize("1g", wait=5.0))

    assert recorder.asked == [("resize", ("1g",), {"wait": 5.0})]
