"""Backups of a v1 site: made, proved by reading back, restored, compared and kept for as long as was promised."""
