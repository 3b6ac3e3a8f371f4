"""The process that does the work: torch, the models on their devices, one request at a time."""
