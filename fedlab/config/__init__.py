"""The experiment file: its schema, how it is read, and the objects it names."""
