import pytest
import torch

from selfvos.models import precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("cpuinfo", "found"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse2 avx512f avx512_vnni\n", set()),
        ("processor\t: 0\nflags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\n", {"avx512_bf16", "amx_bf16"}),
        ("processor\t: 0\nFeatures\t: fp asimd i8mm bf16\n", {"bf16"}),
        ("processor\t: 0\n", None),
    ],
)
def test_instructions_for_bfloat16_are_read_from_what_the_system_says(tmp_path, cpuinfo, found):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert precision._instructions(tmp_path / "cpuinfo") == found
    assert precision._instructions(tmp_path / "nothing") is None


def test_a_processor_without_them_computes_in_float32_whatever_a_trial_would_say(monkeypatch):
    monkeypatch.setattr(precision, "_faster_on_cpu", lambda: "bfloat16")
    monkeypatch.setattr(precision, "_instructions", frozenset)
    assert precision.decide("auto", CPU) == "float32"
    assert precision.decide("bfloat16", CPU) == "bfloat16"


@pytest.mark.parametrize("instructions", [None, frozenset({"amx_bf16"})])
def test_a_trial_decides_where_there_are_some_or_nobody_knows(monkeypatch, instructions):
    monkeypatch.setattr(precision, "_faster_on_cpu", lambda: "bfloat16")
    monkeypatch.setattr(precision, "_instructions", lambda: instructions)
    assert precision.decide("auto", CPU) == "bfloat16"
