"""The incident desk: what was noticed, what was done about it, and the way back."""
