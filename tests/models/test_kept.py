"""What was made of a network is kept while nothing about the network changes, and no longer."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn

from selfvos.models.kept import kept
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.models.weights import digest, network_digest


def network() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="none")).eval()


@pytest.fixture
def model() -> Segmenter:
    return network()


def times_made(model: Segmenter, *, between) -> int:
    made = []
    for _ in range(2):
        kept(model, "thing", None, lambda: made.append(len(made)))
        between()
    kept(model, "thing", None, lambda: made.append(len(made)))
    return len(made)


def test_it_is_made_once_of_a_network_that_stays_the_same(model):
    assert times_made(model, between=lambda: None) == 1


def weight_of(model: Segmenter) -> nn.Parameter:
    return next(parameter for parameter in model.parameters() if parameter.dim() == 4)


@torch.no_grad()
def add(model):
    weight_of(model)[0, 0, 0, 0] += 1e-3


@torch.no_grad()
def turn_round(model):
    weight_of(model).copy_(weight_of(model).flip(0).clone())


def put_other_numbers(model):
    weight_of(model).data = weight_of(model).data.flip(0)


def change_unseen_by_torch(model):
    weight_of(model).data[0, 0, 0, 0] += 1.0


def learn(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    model.encode_frame(torch.rand(1, 3, 32, 32)).key.square().sum().backward()
    optimizer.step()


def see_a_frame_in_training(model):
    model.train()
    model.encode_frame(torch.rand(2, 3, 32, 32))
    model.eval()


def load(model):
    model.load_state_dict({name: tensor.clone() + 1 for name, tensor in model.state_dict().items()})


def note(model):
    model.notes = replace(model.notes, supervision="none" if model.notes.supervision == "true masks" else "true masks")


def put_a_method_in_place(model):
    model.encode_frame = lambda *_, seeing=model.encode_frame, **__: seeing(*_, **__)


def exchange_a_layer(model):
    model.encoder.backbone.relu = nn.ReLU() if hasattr(model.encoder.backbone, "relu") else nn.Identity()


def hook_a_layer(model):
    next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d)).register_forward_hook(lambda *_: None)


def set_a_layer(model):
    next(layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)).eps *= 2


@pytest.mark.parametrize(
    "change",
    [
        *(add, turn_round, put_other_numbers, change_unseen_by_torch, learn, see_a_frame_in_training, load, note),
        *(put_a_method_in_place, exchange_a_layer, hook_a_layer, set_a_layer),
    ],
    ids=lambda change: change.__name__,
)
def test_it_is_made_anew_after_every_change(model, change):
    assert times_made(model, between=lambda: change(model)) == 3


def test_training_and_back_changes_nothing(model):
    assert times_made(model, between=lambda: model.train().eval()) == 1


def test_the_digest_is_that_of_the_tensors_also_after_a_change(model):
    first = network_digest(model)
    assert first == network_digest(model) == digest(model.state_dict())
    add(model)
    assert network_digest(model) == digest(model.state_dict()) != first


def test_it_is_made_anew_when_made_otherwise(model):
    assert [kept(model, "thing", how, lambda how=how: how * 2) for how in (1, 1, 2, 1)] == [2, 2, 4, 2]


def test_nothing_outlives_its_network():
    model = network()
    thing = kept(model, "thing", None, lambda: nn.Linear(1, 1))
    there = weakref.ref(thing)
    del thing
    assert there() is not None
    del model
    gc.collect()
    assert there() is None


def test_networks_of_inference_mode_can_be_kept():
    with torch.inference_mode():
        model = network()
    assert times_made(model, between=lambda: None) == 1
