"""ADMIN and COUNCIL: what several officers decide together, and the proof of who may do what."""
