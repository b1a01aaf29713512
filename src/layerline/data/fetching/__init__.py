"""Published data sets: where they are, and how they are downloaded and verified."""
