"""canswarm-tui: the assistant that takes a CAN Swarm from v1 to v2, once, and proves every record."""

__version__ = "0.1.0"
