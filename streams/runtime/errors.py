"""What stops a worker for a reason its user can act on; the text, one line, says what to do."""


class WorkerError(Exception):
    """Ends the worker; ``exit_code`` becomes the process's."""

    exit_code = 1


class ConfigurationError(WorkerError):
    """Settings, topics or the installation do not fit together."""

    exit_code = 2


class BrokerUnreachableError(WorkerError):
    """No broker of the list answers."""

    exit_code = 3


class TopicMissingError(WorkerError):
    """A topic the worker needs does not exist."""

    exit_code = 4


class StateError(WorkerError):
    """The stored state cannot be used; going on would give verdicts about half of the data."""


class StalledError(WorkerError):
    """A source has records to read, but nothing has been read for too long."""


class MembershipError(WorkerError):
    """The consumer group has let this worker go, and it cannot join again."""


class InstanceTakenError(MembershipError):
    """A second worker runs under this one's instance name."""

    exit_code = 2
