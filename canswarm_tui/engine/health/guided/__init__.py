"""The guide's troubleshooting as guided checks: symptom, what was looked at, verdict, remedy, the same in a shell.

One module for each backend reads once and judges each symptom by what it read. Reads only.
"""
