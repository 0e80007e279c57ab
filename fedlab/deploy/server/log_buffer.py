"""What a run says before there is a folder to write it to."""

from fedlab.results.recorder import Observer


class LogBuffer:
    """Tells an observer at once, and the recorder, as soon as there is one, all that was said."""

    def __init__(self, observer: Observer) -> None:
        self._observers = [observer]
        self._said: list[str] = []

    def __call__(self, text: str) -> None:
        """Say something."""
        self._said.append(text)
        for observer in self._observers:
            observer.on_message(text)

    def record(self, recorder: Observer) -> None:
        """Tell a recorder what was said so far, and all that follows."""
        for text in self._said:
            recorder.on_message(text)
        self._observers.append(recorder)
