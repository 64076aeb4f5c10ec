"""Token buckets let bursts through, then the rate, and forget those who were not seen for long."""

from services.gateway.clicks.rate_limit import TokenBuckets


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_and_then_the_rate() -> None:
    clock = Clock()
    buckets = TokenBuckets(capacity=10, clock=clock)
    assert [buckets.take("a", rate=2, burst=3) for _ in range(5)] == [True, True, True, False, False]
    clock.now += 0.5
    assert [buckets.take("a", rate=2, burst=3) for _ in range(2)] == [True, False]
    clock.now += 1_000
    assert [buckets.take("a", rate=2, burst=3) for _ in range(4)] == [True, True, True, False]


def test_a_token_that_was_given_back_can_be_taken_again_but_no_more_than_that() -> None:
    buckets = TokenBuckets(capacity=10, clock=Clock())
    for _ in range(5):
        assert buckets.take("a", rate=1, burst=2)
        buckets.give_back("a", burst=2)
    buckets.give_back("a", burst=2)
    assert [buckets.take("a", rate=1, burst=2) for _ in range(3)] == [True, True, False]


def test_one_client_does_not_use_up_the_tokens_of_another() -> None:
    buckets = TokenBuckets(capacity=10, clock=Clock())
    assert [buckets.take("a", rate=1, burst=1), buckets.take("a", rate=1, burst=1)] == [True, False]
    assert buckets.take("b", rate=1, burst=1)


def test_a_flood_of_keys_pushes_out_the_oldest_and_not_the_busy() -> None:
    buckets = TokenBuckets(capacity=3, clock=Clock())
    buckets.take("busy", rate=1, burst=1)
    for number in range(10):
        buckets.take(str(number), rate=1, burst=1)
        assert not buckets.take("busy", rate=1, burst=1)
