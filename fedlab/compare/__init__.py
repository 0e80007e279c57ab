"""Runs set side by side: what each method took to reach an accuracy, over seeds, boards and links."""
