"""Between messages of `magnet.v1` and what the core works with; nothing else knows both protos and arrays."""
