"""Buffer log messages until the run folder exists."""

from fedlab.results.recorder import Observer


class LogBuffer:
    """Passes messages to an observer at once, and all of them to the recorder as soon as there is one."""

    def __init__(self, observer: Observer) -> None:
        self._observers = [observer]
        self._messages: list[str] = []

    def __call__(self, text: str) -> None:
        """Log a message."""
        self._messages.append(text)
        for observer in self._observers:
            observer.on_message(text)

    def record(self, recorder: Observer) -> None:
        """Send the buffered messages and all later ones to a recorder."""
        for text in self._messages:
            recorder.on_message(text)
        self._observers.append(recorder)
