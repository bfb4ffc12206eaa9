import numpy as np

from selfvos.evaluation.births import Births, Links, places, trace


def _links(source: list[list[int]], weight: list[list[float]], score: float = 0.9) -> Links:
    return Links(np.array(source), np.array(weight), np.full(len(source), score))


def _same_place(frame: int, cells: int, score: float = 0.9) -> Links:
    return _links([[(frame - 1) * cells + i] for i in range(cells)], [[1.0]] * cells, score)


def _maps(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.int32)[:, None]


def test_an_error_that_memory_confirms_is_born_once():
    truth = _maps([0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1])
    found = _maps([0, 0, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1])
    first = _links([[0], [2], [2], [3]], [[1.0]] * 4, 0.6)
    born = trace(found, truth, [None, first, _same_place(2, 4), _same_place(3, 4)])
    assert (born.frame.tolist(), born.cell.tolist(), born.descendants.tolist()) == ([1], [1], [3])
    assert (born.found.tolist(), born.truth.tolist(), born.score.tolist()) == ([1], [0], [0.6])


def test_a_wrong_cell_descends_from_the_strongest_match_that_carried_its_label():
    truth = _maps([0, 1, 0], [0, 1, 0], [0, 1, 0])
    found = _maps([0, 1, 0], [1, 1, 0], [1, 1, 1])
    first = _links([[1], [1], [2]], [[1.0]] * 3)
    # The third cell takes most from a cell that is background, and its label from the first, which is wrong.
    second = _links([[3, 4], [4, 3], [5, 3]], [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    born = trace(found, truth, [None, first, second])
    assert born.cell.tolist() == [0]
    assert born.descendants.tolist() == [3]


def test_an_error_of_the_other_kind_is_a_birth_of_its_own():
    truth = _maps([0, 1], [0, 1], [0, 1])
    found = _maps([0, 1], [1, 1], [0, 0])
    born = trace(found, truth, [None, _links([[1], [1]], [[1.0]] * 2), _links([[0], [2]], [[1.0]] * 2)])
    assert list(zip(born.frame.tolist(), born.cell.tolist(), strict=True)) == [(1, 0), (2, 1)]
    assert born.found.tolist() == [1, 0]


def test_nothing_is_born_where_nothing_is_wrong():
    labels = _maps([0, 1], [0, 1])
    assert not len(trace(labels, labels, [None, _same_place(1, 2)]).frame)


def test_each_birth_is_in_one_place():
    truth = np.zeros((2, 12, 12), np.int32)
    truth[:, 4:8, 4:8] = 1
    found = truth.copy()
    found[1] = 1 - found[1]
    born = trace(found, truth, [None, _same_place(1, 144)])
    where = places(born)
    assert sum(chosen.astype(int) for chosen in where.values()).tolist() == [1] * 144
    assert where["border of the picture"].sum() == 144 - 64
    centre = born.cell == 5 * 12 + 5
    assert where["near an outline"][centre].all()


def test_a_picture_that_shows_one_thing_has_no_outline():
    truth = np.zeros((2, 6, 6), np.int32)
    found = truth.copy()
    found[1, 3, 3] = 1
    born: Births = trace(found, truth, [None, _same_place(1, 36)])
    assert born.outline.tolist() == [np.inf]
    assert places(born)["elsewhere"].tolist() == [True]
