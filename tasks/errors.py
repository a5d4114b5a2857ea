"""The errors that are a user's to mend: one sentence that says what, where and what to do."""


class AnnealError(Exception):
    """Ends the program with its one sentence and `exit_status`; never shown as a traceback."""

    exit_status = 1


class ParamsError(AnnealError):
    """A value in params.yaml is wrong; nothing has been done yet."""

    exit_status = 2


class TransientError(AnnealError):
    """A hub or a server did not answer: the same call may go through later."""

    exit_status = 75  # EX_TEMPFAIL of sysexits.h


class NotPromoted(AnnealError):
    """The gate refused `model`; `reasons` are the words of the checks that did not hold."""

    def __init__(self, model: str, reasons: tuple[str, ...]) -> None:
        super().__init__(model, reasons)
        self.model, self.reasons = model, reasons

    def __str__(self) -> str:
        return f"{self.model} was not promoted: {'; '.join(self.reasons)}."
