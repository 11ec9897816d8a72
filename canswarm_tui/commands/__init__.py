"""The commands of the command line, a module for each family. Everything they do, they do through the engine."""
