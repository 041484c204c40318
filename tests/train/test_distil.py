"""Distillation: the loss, what lasts through it, and what it refuses."""

import math
from dataclasses import replace

import pytest
import torch
from small import SMALL, same
from tiny import pictures, tiny
from torch import nn

import mstlib
from mstlib import Masking
from mstlib.masking import RandomSpikeMask, set_masking
from mstlib.train import STUDENTS, Attention, Distillation, distil, divergence, teach, train

HALF = Distillation("mst-digits", Masking(attention=0.5), epochs=1)


@pytest.fixture
def teacher(monkeypatch):
    monkeypatch.setitem(teach.RECIPES, "mst-digits", SMALL)
    return train(SMALL, 0)


def test_divergence_is_the_sum_it_says():
    draw = torch.Generator().manual_seed(0)
    ours, theirs = torch.randn(2, 5, 4, generator=draw, dtype=torch.float64)
    p, q = (theirs / 3).softmax(-1), (ours / 3).softmax(-1)
    by_hand = 9 * sum(p[i, j] * math.log(p[i, j] / q[i, j]) for i in range(5) for j in range(4)) / 5
    assert float(divergence(ours, theirs, 3.0)) == pytest.approx(float(by_hand))
    assert float(divergence(ours, ours, 3.0)) == pytest.approx(0, abs=1e-12)


def test_a_student_is_a_masked_copy_and_the_teacher_stays(teacher):
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    student = distil(teacher, HALF, seed=1)
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert not same(student, teacher)
    assert student.trained_masking == Masking(attention=0.5)
    assert not student.training
    masks = [m for m in student.modules() if isinstance(m, RandomSpikeMask)]
    assert not any(m.ratio for m in masks)
    assert same(student, distil(teacher, HALF, seed=1))
    assert not same(student, distil(teacher, HALF, seed=2))


def test_the_control_has_no_masks_and_does_not_say_it_had(teacher):
    assert distil(teacher, replace(HALF, masking=Masking())).trained_masking is None


def test_masks_are_on_while_the_student_learns(teacher, monkeypatch):
    """In training, attention masks drop half of what they get, and those of the MLP nothing."""
    seen, real = {"attention": set(), "mlp": set()}, RandomSpikeMask.forward

    def forward(mask, x):
        seen[mask.kind].add(mask.ratio)
        return real(mask, x)

    monkeypatch.setattr(RandomSpikeMask, "forward", forward)
    distil(teacher, HALF)
    assert seen == {"attention": {0.0, 0.5}, "mlp": {0.0}}  # 0.0 in the teacher


def test_each_part_of_the_loss_counts(teacher):
    variants = [
        HALF,
        replace(HALF, share=0.0),
        replace(HALF, share=1.0),
        replace(HALF, temperature=4.0),
        replace(HALF, draws=3),
        replace(HALF, content=1.0),
        replace(HALF, lesion="scores"),
    ]
    students = [distil(teacher, how) for how in variants]
    for i, one in enumerate(students):
        assert not any(same(one, other) for other in students[:i]), variants[i]


def test_the_penalty_is_zero_for_the_teacher_itself_and_grows_with_the_masks():
    """The mean of many draws comes near what the masks leave of the scores."""
    teacher, student = tiny(), tiny()
    x, gaps = pictures(), []
    for p in (0.0, 0.1, 0.5, 0.9):
        set_masking(student, Masking(attention=p))
        with Attention(teacher, student, draws=32) as watch:
            teacher(x)
            student(x.repeat(32, 1, 1, 1))
            gaps.append(watch.collect().item())
    assert gaps[0] == pytest.approx(0, abs=1e-7)
    assert gaps[0] < gaps[1] < gaps[2] < gaps[3]


def test_the_penalty_compares_the_mean_over_the_draws():
    teacher, student = tiny(), tiny()
    set_masking(student, Masking(attention=0.5))
    x, seen = pictures(), []
    first = teacher.layers[0].blocks[0].attn.softmax, student.layers[0].blocks[0].attn.softmax
    for softmax in first:
        softmax.register_forward_hook(lambda m, i, out: seen.append(out))
    with Attention(teacher, student, draws=8) as watch:
        teacher(x)
        student(x.repeat(8, 1, 1, 1))
    ours, theirs = seen[0], seen[1].view(8, *seen[0].shape).mean(0)
    by_hand = (ours * (ours.log() - theirs.log())).sum(-1).mean()
    torch.testing.assert_close(watch.terms[0], by_hand)


def test_the_penalty_has_a_gradient_where_a_shift_forbids_attention():
    teacher, student = tiny(), tiny()
    assert teacher.layers[0].blocks[1].attn.apart is not None
    x = pictures()
    set_masking(student, Masking(attention=0.5))
    with Attention(teacher, student, draws=1) as watch:
        teacher(x)
        student(x)
    watch.collect().backward()
    gradients = [p.grad for p in student.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(g.isfinite().all()) for g in gradients)


def test_there_must_be_an_attention_to_keep():
    with pytest.raises(ValueError, match="no softmax attention to keep"):
        Attention(tiny(attention="pure"), tiny(attention="pure"), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": "mst-letters"}, "no recipe 'mst-letters'; there are: mst-digits"),
        ({"draws": 0}, "draws must be >= 1.* not 0"),
        ({"share": 1.5}, r"share in \[0, 1\].* 1.5"),
        ({"temperature": 0.0}, "temperature > 0.* 0.0"),
    ],
)
def test_bad_recipes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        distil(nn.Identity(), replace(HALF, **change))


def test_masks_that_the_network_lacks_are_named(teacher):
    with pytest.raises(ValueError, match="no 'conv' masks"):
        distil(teacher, replace(HALF, masking=Masking(conv=0.5)))


def test_a_distillation_that_was_stopped_ends_at_the_same_weights(teacher, tmp_path, monkeypatch):
    how = replace(HALF, epochs=2)
    whole = distil(teacher, how, seed=3)
    real = teach.batches_of

    def stopping(recipe, seed):
        batches = real(recipe, seed)

        def second_fails(epoch):
            if epoch == recipe.relu_epochs + recipe.qcfs_epochs + 1:
                raise KeyboardInterrupt
            return batches(epoch)

        return second_fails

    with monkeypatch.context() as patch:
        patch.setattr(teach, "batches_of", stopping)
        with pytest.raises(KeyboardInterrupt):
            distil(teacher, how, seed=3, state=tmp_path / "state")
    assert list(tmp_path.iterdir())
    assert same(distil(teacher, how, seed=3, state=tmp_path / "state"), whole)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", STUDENTS)
def test_shipped_students_stand_beside_their_control(name):
    how = STUDENTS[name]
    control = STUDENTS[f"{how.teacher}-control"]
    assert replace(how, masking=Masking()) == control
    assert how.teacher in mstlib.available()
