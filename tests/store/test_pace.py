"""How much a slice of retention does: cheap rows go in crowds, dear ones singly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from luad.store.retention_pace import AIM_MS, BATCH, LEAST_MS, MOST_MS, next_batch, next_budget


def slice_of(costs: list[int], budget_ms: int = MOST_MS) -> tuple[int, int]:
    """Go on as a slice does, when the n-th row costs so many ms; return rows and ms."""
    done, spent = 0, 0
    while done < len(costs) and (done == 0 or spent < budget_ms):
        size = next_batch(done, spent, budget_ms - spent)
        spent += sum(costs[done : done + size])
        done = min(len(costs), done + size)
    return done, spent


def test_a_slice_begins_with_one_row() -> None:
    assert next_batch(0, 0, MOST_MS) == 1


def test_a_row_that_costs_the_whole_slice_stays_alone() -> None:
    assert slice_of([80] * 100) == (1, 80)


def test_cheap_rows_go_in_batches_that_double_up_to_the_most() -> None:
    sizes, done = [], 0
    while len(sizes) < 8:
        sizes.append(next_batch(done, 0, MOST_MS))
        done += sizes[-1]
    assert sizes == [1, 1, 2, 4, 8, 16, BATCH, BATCH]


@given(st.integers(1, 200), st.integers(LEAST_MS, MOST_MS))
def test_rows_of_one_price_take_no_more_than_the_slice_and_one_row(
    cost: int, budget_ms: int
) -> None:
    _, spent = slice_of([cost] * 500, budget_ms)
    assert spent < budget_ms + cost


@given(st.lists(st.integers(0, 100), min_size=1, max_size=300))
def test_each_slice_gets_somewhere(costs: list[int]) -> None:
    rows, _ = slice_of(costs)
    assert rows >= 1


def test_a_slice_that_held_the_writer_too_long_halves_the_next_ones() -> None:
    budgets = [MOST_MS]
    while budgets[-1] > LEAST_MS:
        budgets.append(next_budget(budgets[-1], AIM_MS + 1))
    assert budgets == [10, 5, 2, 1]
    assert next_budget(LEAST_MS, 10_000) == LEAST_MS


def test_time_comes_back_slowly_and_only_up_to_the_most() -> None:
    assert next_budget(LEAST_MS, AIM_MS) == LEAST_MS + 1
    assert next_budget(MOST_MS, 0) == MOST_MS
