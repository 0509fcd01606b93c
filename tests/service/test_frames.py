"""What travels, and what must never get through."""

from __future__ import annotations

import asyncio
import contextlib
import struct

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadRequestError
from engine.service import frames
from engine.service.frames import FrameError, pack, read_frame, unpack

plain = st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text() | st.floats(allow_nan=False)
message_maps = st.dictionaries(st.text(), plain | st.lists(plain) | st.dictionaries(st.text(), plain))


def reader_of(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


@given(message_maps, message_maps)
def test_messages_come_out_as_they_went_in_one_after_the_other(first, second):
    async def both():
        reader = reader_of(pack(first) + pack(second))
        return await read_frame(reader), await read_frame(reader), await read_frame(reader)

    assert asyncio.run(both()) == (first, second, None)


@given(st.binary(max_size=200))
def test_junk_is_a_message_or_a_frame_error_and_nothing_else(data):
    async def drain():
        reader = reader_of(data)
        while (message := await read_frame(reader, 10_000)) is not None:
            assert isinstance(message, dict)

    with contextlib.suppress(FrameError):
        asyncio.run(drain())


@given(st.recursive(plain | st.binary(), lambda x: st.lists(x) | st.dictionaries(st.integers(0, 9) | st.text(), x)))
def test_only_maps_with_text_keys_are_messages(value):
    data = msgpack.packb(value)
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return
    with pytest.raises(FrameError):
        unpack(data)


async def test_a_frame_over_the_limit_is_refused_before_its_body_is_read():
    reader = asyncio.StreamReader()
    reader.feed_data(struct.pack(">I", frames.MAX_FRAME + 1))
    with pytest.raises(FrameError, match="over the limit"):
        await asyncio.wait_for(read_frame(reader), 1)


@pytest.mark.parametrize("cut", [1, 3, 4, 9])
async def test_a_frame_cut_short_is_an_error_not_an_end(cut):
    with pytest.raises(FrameError, match="inside a frame"):
        await read_frame(reader_of(pack({"kind": "ping"})[:cut]))


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x81\xa1a" + b"\xdc\xff\xff" + b"\x90" * 65_535,  # many small arrays
        b"\x81\xa1a" + b"\x91" * 5_000 + b"\x90",  # deep nesting
        b"\x81\xa1a" + b"\xdd\xff\xff\xff\xff",  # an array that claims four thousand million items
        b"\x81\xa1a\x9f" + (b"\xdc\x0f\xff" + b"\x80" * 4_095) * 15,  # many small maps
    ],
)
def test_small_frames_that_would_unpack_to_much_are_refused(bomb):
    with pytest.raises(FrameError):
        unpack(bomb)


def test_half_a_surrogate_pair_a_huge_number_and_a_giant_are_refused_by_the_sender():
    with pytest.raises(BadRequestError, match="surrogate"):
        pack({"text": "\ud83d"})
    with pytest.raises(BadRequestError, match="64 bits"):
        pack({"seed": 2**64})
    with pytest.raises(BadRequestError, match="at most"):
        pack({"text": "x" * (frames.MAX_FRAME + 1)})
