"""A finished run billed on other boards or links."""
