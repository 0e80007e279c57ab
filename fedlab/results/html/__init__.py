"""The HTML report of a run: pure functions from records to chart data, and the page that shows it."""
