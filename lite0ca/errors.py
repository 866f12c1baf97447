"""What stops a command: the user's mistakes (exit code 2) and a diverged training (3)."""


class InputError(ValueError):
    """Something that was given is wrong; the message says what, where, and what to do."""


class TrainingDiverged(RuntimeError):
    """The loss, the weights or the BatchNorm statistics stayed non-finite after all retries."""
