import copy
import math

import pytest
import torch
from torch import nn

from selfvos.errors import UsageError
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.dino import DINO, DINOConfig, distillation_loss, momentum_at, temperature_at
from selfvos.types import Clip

SMALL = {
    "global_px": 32,
    "local_px": 16,
    "local_views": 2,
    "hidden_channels": 32,
    "bottleneck_channels": 8,
    "prototypes": 16,
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(segmenter, **settings) -> DINO:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        objective = DINO(DINOConfig(**{**SMALL, **settings}))
    objective.attach(segmenter)
    return objective


def score(objective: DINO, segmenter, clip: Clip, seed: int = 0) -> torch.Tensor:
    return objective(EncodedClip(clip, segmenter), seeded(seed)).total


def train(objective: DINO, segmenter, clip: Clip, steps: range) -> None:
    """Move the student by plain gradient descent and let the teacher follow."""
    for step in steps:
        score(objective, segmenter, clip, seed=step).backward()
        with torch.no_grad():
            for parameter in [*segmenter.parameters(), *objective.head.parameters()]:
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None
        objective.after_step(segmenter)


def test_loss_and_centre_are_those_of_the_authors_public_code(segmenter):
    """What the authors' public code gives for five views of three images, two of which the teacher sees."""
    generator = seeded()
    student, teacher = torch.randn(15, 16, generator=generator), torch.randn(6, 16, generator=generator)
    centre = 0.3 * torch.randn(1, 16, generator=generator)
    loss = distillation_loss(
        student.view(5, 3, 16), teacher.view(2, 3, 16), centre[0], student_temperature=0.1, teacher_temperature=0.05
    )
    assert loss.item() == pytest.approx(13.867256, rel=2e-6)
    objective = build(segmenter, centre_momentum=0.9)
    objective.centre.copy_(centre[0])
    objective._answer = teacher.mean(dim=0)
    objective.after_step(segmenter)
    assert objective.centre.sum().item() == pytest.approx(0.587296, rel=2e-6)


def test_the_loss_by_hand():
    student = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[0.0, 0.0]]])
    teacher = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])
    centre = torch.tensor([0.5, 0.0])

    def softmax(a: float, b: float) -> tuple[float, float]:
        return math.exp(a) / (math.exp(a) + math.exp(b)), math.exp(b) / (math.exp(a) + math.exp(b))

    first, second = softmax(0.5 / 0.25, 0), softmax(-0.5 / 0.25, 0)
    answers = [softmax(2, 0), softmax(0, 4), softmax(0, 0)]
    pairs = [(first, 1), (first, 2), (second, 0), (second, 2)]
    expected = -sum(p * math.log(q) for target, v in pairs for p, q in zip(target, answers[v], strict=True)) / 4
    loss = distillation_loss(student, teacher, centre, student_temperature=0.5, teacher_temperature=0.25)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_a_student_that_knows_nothing_costs_log_k():
    loss = distillation_loss(
        torch.zeros(4, 3, 10),
        torch.randn(2, 3, 10, generator=seeded()),
        torch.zeros(10),
        student_temperature=0.1,
        teacher_temperature=0.04,
    )
    assert loss.item() == pytest.approx(math.log(10), abs=1e-5)


def test_the_teacher_receives_no_gradient_and_its_common_answer_is_taken_out():
    student = torch.randn(3, 2, 5, generator=seeded()).requires_grad_()
    teacher = torch.randn(1, 1, 5, generator=seeded(1)).expand(2, 2, 5).clone().requires_grad_()
    loss = distillation_loss(
        student, teacher, teacher.detach()[0, 0], student_temperature=0.1, teacher_temperature=0.04
    )
    loss.backward()
    assert teacher.grad is None
    # Evenly spread targets: the cross-entropy is the mean of all log-probabilities.
    answers = -(student / 0.1).log_softmax(dim=-1).mean(dim=(1, 2))
    torch.testing.assert_close(loss, (answers[1] + answers[2] + answers[0] + answers[2]) / 4)


def test_schedules():
    assert momentum_at(0, first=0.996, steps=100) == pytest.approx(0.996)
    assert momentum_at(50, first=0.996, steps=100) == pytest.approx(0.998)
    assert momentum_at(100, first=0.996, steps=100) == momentum_at(900, first=0.996, steps=100) == 1
    temperatures = [temperature_at(step, first=0.04, last=0.07, steps=30) for step in (0, 10, 30, 90)]
    assert temperatures == pytest.approx([0.04, 0.05, 0.07, 0.07])


def test_the_teacher_after_k_updates_is_the_closed_form(segmenter, clip):
    objective = build(segmenter, momentum=0.5, momentum_steps=10**9)
    start = copy.deepcopy(dict(segmenter.named_parameters()))
    with torch.no_grad():
        for parameter in segmenter.parameters():
            parameter += 1
    for _ in range(3):
        objective.after_step(segmenter)
    assert objective.teacher is not None
    for name, parameter in objective.teacher.named_parameters():
        torch.testing.assert_close(parameter, start[name] + (1 - 0.5**3))
    assert int(objective.step) == 3


def test_the_teachers_momentum_rises_until_it_stands_still(segmenter):
    objective = build(segmenter, momentum=0.0, momentum_steps=2)
    assert objective.teacher is not None
    (student, *_), (teacher, *_) = segmenter.parameters(), objective.teacher.parameters()
    start = teacher.clone()
    # Shares that stay are 0, 1/2 and 1: the teacher is at 1, then half way to 2, then still there.
    for expected in (1.0, 1.5, 1.5):
        with torch.no_grad():
            student += 1
        objective.after_step(segmenter)
        torch.testing.assert_close(teacher, start + expected)


def test_the_centre_follows_the_teachers_mean_answer(segmenter, clip):
    objective = build(segmenter, centre_momentum=0.75, momentum=1.0)
    answers = []
    for seed in range(3):
        score(objective, segmenter, clip, seed=seed)
        assert objective._answer is not None
        answers.append(objective._answer)
        objective.after_step(segmenter)
    expected = 0.25 * (answers[2] + 0.75 * answers[1] + 0.75**2 * answers[0])
    torch.testing.assert_close(objective.centre, expected)


def test_a_broken_step_does_not_spoil_the_centre(segmenter, clip):
    objective = build(segmenter)
    score(objective, segmenter, Clip(frames=clip.frames * torch.nan, index=clip.index))
    objective.after_step(segmenter)
    assert torch.equal(objective.centre, torch.zeros(16))


def test_scoring_leaves_no_trace(segmenter, clip):
    objective = build(segmenter)
    before = copy.deepcopy(objective.state_dict())
    score(objective, segmenter, clip)
    assert all(torch.equal(before[name], value) for name, value in objective.state_dict().items())


def test_a_run_resumes_exactly(segmenter, clip):
    objective = build(segmenter, temperature_steps=10, momentum_steps=10)
    train(objective, segmenter, clip, range(2))
    saved = copy.deepcopy((objective.state_dict(), segmenter.state_dict()))
    train(objective, segmenter, clip, range(2, 4))
    wanted = score(objective, segmenter, clip, seed=9)

    segmenter.load_state_dict(saved[1])
    again = build(segmenter, temperature_steps=10, momentum_steps=10)
    again.load_state_dict(saved[0])
    train(again, segmenter, clip, range(2, 4))
    assert torch.equal(score(again, segmenter, clip, seed=9), wanted)
    assert int(again.step) == 4


def test_the_teacher_normalises_by_the_batch_and_learns_nothing(segmenter):
    segmenter.norm = nn.BatchNorm2d(4)
    objective = build(segmenter)
    assert objective.teacher is not None
    assert not any(parameter.requires_grad for parameter in objective.teacher.parameters())
    assert not [name for name in objective.state_dict() if "running" in name]
    assert segmenter.norm.running_mean is not None


def test_views_come_from_drawn_frames_and_only_the_student_sees_local_ones(segmenter, clip):
    objective = build(segmenter, images=3)
    assert objective.teacher is not None
    score(objective, segmenter, clip)
    assert [tuple(call.shape) for call in segmenter.calls] == [(2 * 6, 3, 32, 32), (2 * 6, 3, 16, 16)]
    assert [tuple(call.shape) for call in objective.teacher.calls] == [(2 * 6, 3, 32, 32)]
    assert torch.equal(objective.teacher.calls[0], segmenter.calls[0])


def test_views_shrink_with_the_frame(segmenter, clip):
    objective = build(segmenter, global_px=224, local_px=96)
    score(objective, segmenter, clip)
    assert [call.shape[-1] for call in segmenter.calls] == [128, 48]
    segmenter.calls.clear()
    score(objective, segmenter, Clip(frames=clip.frames[..., :32, :32], index=clip.index))
    assert [call.shape[-1] for call in segmenter.calls] == [32, 16]


def test_without_local_views_the_two_global_ones_teach_each_other(segmenter, clip):
    loss = score(build(segmenter, local_views=0), segmenter, clip)
    assert loss.isfinite()
    assert len(segmenter.calls) == 1


def test_misuse_is_refused(segmenter, clip):
    lonely = DINO(DINOConfig(**SMALL))
    with pytest.raises(UsageError, match="attach"):
        score(lonely, segmenter, clip)
    with pytest.raises(UsageError, match="dino takes 6 frames"):
        score(build(segmenter, images=6), segmenter, clip)
    with pytest.raises(UsageError, match="set feature_channels=512"):
        score(build(segmenter, feature_channels=256), segmenter, clip)


@pytest.mark.parametrize(
    "settings", [{"student_temperature": 0.0}, {"images": 0}, {"prototypes": 0}, {"momentum": 1.5}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match="must be"):
        DINOConfig(**settings)
