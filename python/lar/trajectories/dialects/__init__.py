"""Messages, parts, calls and tools of any interface -> the one normalized form."""
