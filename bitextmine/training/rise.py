"""A training that runs away without leaving the numbers, told by the course of its loss."""

from collections import deque

_SPAN, _SHORT_SPAN = 50, 20  # steps to take the mean over; in short trainings
_LEAST = 10  # steps at the start that a mean is taken of
_FAR = 1 / 4  # of the loss of guessing
_UNLEARNT = 3 / 4  # likewise: a best above it is no better than chance, and noisy


class RiseWatch:
    """Tells, once, when the smoothed loss has risen far above its best.

    Smoothed is the mean over the last 50 steps (over a quarter of a training that has fewer than
    200, but over 20 at least; at the start, over all there are, if 10): single batches differ by
    much. Far is a quarter of the loss of guessing, where a model ends whose vectors have all become
    alike: it grows with the batch, as the loss does. With batches of 64, guessing costs 4.85; after
    a best of 0.30 it is told at 1.52. A training that has not come below three quarters of guessing
    has nothing to lose yet: it is told of at twice the loss of guessing. The rule knows nothing but
    the logged losses, so a resumed run tells the same.

    Parameters
    ----------
    steps : int
        Of the whole training.
    guessing : float
        The loss of a model that guesses, in nats.
    """

    def __init__(self, steps: int, guessing: float) -> None:
        self._span = max(_SHORT_SPAN, min(_SPAN, steps // 4))
        self._guessing = guessing
        self._points: deque[tuple[int, int, float]] = deque()  # first step, last step, mean loss
        self._last = 0
        self._best = (float("inf"), 0)  # and at which step
        self._told = False

    def add(self, step: int, loss: float) -> str:
        """Take the mean loss of the steps since the last call, up to this one.

        Returns
        -------
        str
            What to tell; empty while all is well, and ever after it was told.
        """
        self._points.append((self._last, step, loss))
        self._last = step
        while self._points[0][1] <= step - self._span:
            self._points.popleft()
        covered = step - self._points[0][0]
        if covered < _LEAST:
            return ""
        smoothed = sum((last - first) * mean for first, last, mean in self._points) / covered
        if smoothed < self._best[0]:
            self._best = (smoothed, step)
        best, best_step = self._best
        learnt = best <= _UNLEARNT * self._guessing
        limit = best + _FAR * self._guessing if learnt else 2 * self._guessing
        if self._told or smoothed <= limit:
            return ""
        self._told = True
        return (
            f"the loss has risen from {best:.2f} at step {best_step:,} to {smoothed:.2f} at step"
            f" {step:,} (means of {covered} steps; guessing costs {self._guessing:.2f}): if it"
            " stays there, train again with a lower --learning-rate or with --warmup-steps"
        )
