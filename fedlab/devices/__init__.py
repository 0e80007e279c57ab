"""Boards: profiles, the tables in them, how they scale to other work, and which client is which board."""
