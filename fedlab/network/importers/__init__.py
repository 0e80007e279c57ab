"""Importers of other simulators' traces: they write CSV files for availability, links and fleets."""
