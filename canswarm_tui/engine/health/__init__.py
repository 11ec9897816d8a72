"""Diagnostics: what each server and file tells when it is looked at closely. Read-only, and usable without a run."""
