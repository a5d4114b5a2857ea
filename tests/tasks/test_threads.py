"""Work that is done on several cores at once comes out as one after the other."""

import threading

import pytest
import torch

from tasks.inference import threads, writing
from tasks.inference.answers import answer
from tasks.weights.tuned import load
from tests import tiny

pytestmark = pytest.mark.slow  # torch is loaded


@pytest.fixture
def cores(monkeypatch):
    """Sets how many cores this process may use."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(("count", "items", "at_once", "each"), [(2, 3, 2, 1), (16, 9, 4, 4)])
def test_cores_are_shared_among_what_runs_at_once_and_given_back(cores, count, items, at_once, each):
    cores(count)
    together = threading.Barrier(at_once)

    def work(item):
        if item < at_once:  # these wait for each other, so each has a thread of its own
            together.wait(timeout=60)
        return item, torch.get_num_threads()

    assert threads.several_at_once(work, range(items)) == [(item, each) for item in range(items)]
    assert torch.get_num_threads() == count


@pytest.mark.parametrize(("count", "items"), [(1, 3), (2, 1), (2, 0)])
def test_one_core_or_one_item_has_no_thread_of_its_own(cores, count, items):
    cores(count)
    here = (threading.get_ident(), count)
    told = threads.several_at_once(lambda _: (threading.get_ident(), torch.get_num_threads()), range(items))
    assert told == [here] * items


def test_what_one_of_them_raises_is_raised_and_cores_are_given_back(cores):
    cores(2)
    with pytest.raises(ZeroDivisionError):
        threads.several_at_once(lambda item: 1 // item, [1, 0, 2])
    assert torch.get_num_threads() == 2


def test_answers_in_several_threads_are_those_of_one(cores, base, trained, tokenizer):
    model = load(base, trained.adapter).float()
    rows, by_cores = tiny.prepared_rows(0, 7), {}
    for count in (1, 2):
        cores(count)
        free = answer(model, tokenizer, rows, 2, 12, "tuned")
        by_cores[count] = [(row["token_ids"], row["finished"], round(row["nll"], 3)) for row in free.predictions]
        assert free.seconds > 0
    assert by_cores[1] == by_cores[2]


def test_progress_of_groups_that_are_written_at_once_adds_up():
    told = []
    progress = writing.Progress(told.append)
    for group, rows in ((0, 1.0), (3, 0.5), (0, 3.0), (3, 2.0)):
        progress.note(group, rows)
    assert told == [1.0, 1.5, 3.5, 5.0]
