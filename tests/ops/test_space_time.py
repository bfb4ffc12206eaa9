import math

import torch

from selfvos.ops.space_time import KEY_CHANNELS, as_memory, space_time_read


def joined(keys, values):
    """Keys (r 128) and values (r v) as cells (1 1 c r)."""
    return torch.cat([keys, values], dim=1).T[None, None]


def test_weights_are_those_of_scaled_key_products():
    keys = torch.zeros(2, KEY_CHANNELS)
    keys[0, 0] = math.sqrt(KEY_CHANNELS)
    query = torch.zeros(1, KEY_CHANNELS + 1, 1, 2)
    query[0, 0, 0, 0] = math.log(3)  # product with the first key, divided by the root of 128: log 3
    query[0, -1] = 7.0
    read, own = space_time_read(query, joined(keys, torch.tensor([[1.0], [0.0]])))
    torch.testing.assert_close(read, torch.tensor([0.75, 0.5]).view(1, 1, 1, 1, 2))
    torch.testing.assert_close(own, torch.full((1, 1, 1, 1, 2), 7.0))


def test_each_object_has_keys_of_its_own():
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, KEY_CHANNELS + 4, 3, 5, generator=generator)
    memory = torch.randn(2, 3, KEY_CHANNELS + 4, 11, generator=generator)
    together, own = space_time_read(query, memory)
    assert together.shape == own.shape == (2, 3, 4, 3, 5)
    for o in range(3):
        torch.testing.assert_close(together[:, o], space_time_read(query, memory[:, o : o + 1])[0][:, 0])


def test_a_read_does_not_depend_on_the_order_of_memory():
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, KEY_CHANNELS + 2, 2, 2, generator=generator)
    frames = torch.randn(1, 1, KEY_CHANNELS + 2, 2, 3, generator=generator)
    memory = as_memory(frames)
    assert memory.shape == (1, 1, KEY_CHANNELS + 2, 6)
    torch.testing.assert_close(space_time_read(query, memory)[0], space_time_read(query, memory.flip(-1))[0])
