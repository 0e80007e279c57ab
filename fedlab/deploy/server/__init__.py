"""The server side of a deployed run."""
