"""Readers of the traces that other simulators use; they give CSV files for our availability, links and fleets."""
