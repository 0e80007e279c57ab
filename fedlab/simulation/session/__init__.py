"""A Ray that stays on this machine between runs, with actors that have already imported what they need."""
