"""Mandheling's published figures, compared with ours."""
