"""How a team hands out spans, with workers in this process that die when they are told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from magnet_service.errors import Cancelled, InvalidInput, Refused
from magnet_service.sampling import Rows
from magnet_service.sampling.crews.crew import Span
from magnet_service.sampling.crews.recipe import Bench
from magnet_service.sampling.crews.team import Presence, Team, WorkerDied
from tests.sampling.crews.parts import expected, joined, recipe, spans

Answer = Callable[[int, Span, int], None]


class Threaded:
    """A worker that is a thread; `act` may raise instead of letting it load (span -1) or compute."""

    def __init__(self, bench: Bench, number: int, born: int, act: Callable[[int, Span, int], None]) -> None:
        self._bench, self._number, self._born, self._act = bench, number, born, act
        self._thread = ThreadPoolExecutor(1)
        self.closed = False
        self.ready: Future[Presence] = self._thread.submit(self._load)

    def submit(self, span: Span) -> Future[Rows]:
        return self._thread.submit(self._compute, span)

    def close(self) -> None:
        self.closed = True
        self._thread.shutdown(cancel_futures=True)

    def _load(self) -> Presence:
        self._act(self._number, (-1, -1), self._born)
        return Presence("here", self._number)

    def _compute(self, span: Span) -> Rows:
        self._act(self._number, span, self._born)
        return self._bench.rows(*span)


class Made:
    """A team of such workers, all that were ever started, and what was told."""

    def __init__(self, bench: Bench, size: int, act: Answer, patience: float = 60.0) -> None:
        self.hands: list[Threaded] = []
        self.told: list[str] = []
        self.ended = 0

        def start(number: int) -> Threaded:
            self.hands.append(Threaded(bench, number, len(self.hands), act))
            return self.hands[-1]

        def ended() -> None:
            self.ended += 1

        self.team = Team(start, size, tell=self.told.append, ended=ended, patience=patience)


@pytest.fixture(scope="module")
def bench(small: Path) -> Bench:
    return recipe(small).bench()


@pytest.fixture
def make(bench: Bench) -> Iterator[Callable[..., Made]]:
    made: list[Made] = []

    def new(size: int, act: Answer, patience: float = 60.0) -> Made:
        made.append(Made(bench, size, act, patience))
        return made[-1]

    yield new
    for each in made:
        each.team.close()
        each.team.close()
        assert all(hand.closed for hand in each.hands)
        assert each.ended == 1


def nothing(number: int, span: Span, born: int) -> None:
    """A worker without fault."""


def test_rows_are_those_of_one_call_and_a_team_computes_again(make: Callable[..., Made], bench: Bench) -> None:
    team = make(3, nothing).team
    wanted = expected(bench.generator, bench.spec, 500)
    assert joined(team.compute(spans(500))) == wanted
    assert joined(team.compute(iter(spans(500, 128)))) == wanted
    assert list(team.compute([])) == []
    assert team.size == 3
    assert set(team.names) <= {f"worker {number} (pid {number} on here)" for number in range(3)}


def test_spans_are_taken_when_somebody_is_about_to_be_free(make: Callable[..., Made]) -> None:
    taken: list[Span] = []

    def told() -> Iterator[Span]:
        for span in spans(64 * 40):
            taken.append(span)
            yield span

    for done, _ in enumerate(make(2, nothing).team.compute(told()), 1):
        # Two a worker, one read ahead, and the one in hand.
        assert len(taken) <= done + 2 * 2 + 1
    assert taken == spans(64 * 40)


def test_spans_of_a_dead_worker_are_handed_out_again(make: Callable[..., Made], bench: Bench) -> None:
    def act(number: int, span: Span, born: int) -> None:
        if born == 0 and span[0] >= 0:
            raise WorkerDied("ended by SIGKILL")

    made = make(2, act)
    assert joined(made.team.compute(spans(1000))) == expected(bench.generator, bench.spec, 1000)
    assert len(made.hands) == 3
    assert made.hands[0].closed
    assert len(made.told) == 1
    assert made.told[0].startswith("worker 0 (pid 0 on here) ended by SIGKILL: it is replaced, ")
    assert made.told[0].endswith(" spans are handed out again")


def test_a_place_where_workers_die_is_given_up_and_the_others_go_on(make: Callable[..., Made], bench: Bench) -> None:
    other = threading.Event()

    def act(number: int, span: Span, born: int) -> None:
        if number == 0:
            raise WorkerDied("ended with status 1")
        if span[0] >= 0:
            assert other.wait(60)

    made = make(2, act)
    found = made.team.compute(spans(300))

    def tell(line: str) -> None:
        made.told.append(line)
        if "left out" in line:
            other.set()

    made.team._tell = tell
    assert joined(found) == expected(bench.generator, bench.spec, 300)
    assert [line.partition(":")[2] for line in made.told] == [" it is replaced"] * 2 + [
        " ended with status 1, too often"
    ]
    assert (made.team.size, len(made.hands)) == (1, 4)


def test_a_worker_that_always_dies_ends_in_an_error(make: Callable[..., Made]) -> None:
    def act(number: int, span: Span, born: int) -> None:
        raise WorkerDied("ended by SIGSEGV")

    made = make(2, act)
    with pytest.raises(Refused, match=r"ended by SIGSEGV, 3 times in a row without an answer\..* fewer") as caught:
        list(made.team.compute(spans(300)))
    assert caught.value.reason == "WORKERS_DIED"
    assert len(made.hands) <= 6


def test_rows_at_which_every_worker_dies_end_in_an_error(make: Callable[..., Made]) -> None:
    def act(number: int, span: Span, born: int) -> None:
        if span[0] == 128:
            raise WorkerDied("ended by SIGKILL")

    made = make(3, act)
    with pytest.raises(Refused, match="3 workers died one after another at rows 128 to 191, the last one") as caught:
        list(made.team.compute(spans(6400)))
    assert caught.value.reason == "WORKERS_DIED"
    assert len(made.hands) == 5


def test_machines_of_another_kind_are_left_out(make: Callable[..., Made], bench: Bench) -> None:
    def act(number: int, span: Span, born: int) -> None:
        if span[0] < 0 and number != 1:
            raise Refused("torch 1.0 there and 2.0 here", reason="OTHER_ENGINE")

    made = make(2, act)
    assert joined(made.team.compute(spans(300))) == expected(bench.generator, bench.spec, 300)
    assert made.team.size in (1, 2)  # whoever was not needed may not have been asked yet
    only = make(1, lambda number, span, born: act(0, span, born))
    with pytest.raises(Refused, match=r"torch 1\.0 there") as caught:
        list(only.team.compute(spans(300)))
    assert caught.value.reason == "OTHER_ENGINE"
    assert only.told == ["worker 0 is left out: torch 1.0 there and 2.0 here"]


def test_errors_of_a_worker_are_the_drivers(make: Callable[..., Made]) -> None:
    def act(number: int, span: Span, born: int) -> None:
        if span[0] == 64:
            raise InvalidInput("latents have shape [3]", field="latents")

    with pytest.raises(InvalidInput, match="latents have shape") as caught:
        list(make(2, act).team.compute(spans(300)))
    assert caught.value.field == "latents"


def test_stopping_and_leaving_early(make: Callable[..., Made], bench: Bench) -> None:
    made = make(2, nothing)
    found = made.team.compute(spans(6400), lambda: done)
    done = False
    next(found)
    done = True
    with pytest.raises(Cancelled):
        list(found)
    again = made.team.compute(spans(6400))
    next(again)
    again.close()  # type: ignore[attr-defined] # a generator
    assert joined(made.team.compute(spans(300))) == expected(bench.generator, bench.spec, 300)


def test_nobody_ready_in_time_is_an_error(make: Callable[..., Made]) -> None:
    asked = threading.Event()

    def act(number: int, span: Span, born: int) -> None:
        assert asked.wait(60)

    made = make(2, act, patience=0.2)
    with pytest.raises(Refused, match="no worker became ready within 0 s") as caught:
        list(made.team.compute(spans(300)))
    assert caught.value.reason == "NO_WORKERS"
    asked.set()
