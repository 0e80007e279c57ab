from fedlab.deploy.server.log_buffer import LogBuffer
from fedlab.results.display import QuietDisplay


class Listener(QuietDisplay):
    def __init__(self):
        self.heard = []

    def on_message(self, text, detail=None):
        self.heard.append(text)


def test_a_recorder_that_comes_later_hears_everything_in_order():
    display, recorder = Listener(), Listener()
    log = LogBuffer(display)
    log("one")
    log.record(recorder)
    log("two")
    assert display.heard == recorder.heard == ["one", "two"]
