"""Text data sets: where they come from, how they are split over clients and tokenised."""
